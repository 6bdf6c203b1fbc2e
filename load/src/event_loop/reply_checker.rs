//! Reads replies and compares them with what is expected.
//!
//! The bytes of a read are compared with the expected bytes in slices as large as the read. Only where
//! they differ are lines examined one by one (`classify.rs`), so checking costs about as much as
//! counting.

use std::ops::Range;
use std::sync::Arc;

use memchr::memchr;
use rustix::io::Errno;

use super::conn::Conn;
use super::in_flight::SendTimes;
use super::transport::Transport;
use crate::clock;
use crate::counters::Counters;
use crate::histogram::Hist;
use crate::job::Job;
use crate::message::Position;

/// Bytes of one read. Larger reads would let one flooding connection delay the others.
const READ_BYTES: usize = 256 * 1024;
const PAGE_BYTES: usize = 4096;
/// Bytes that one write of a flood offers the kernel at most.
const FLOOD_WRITE_BYTES_MAX: u64 = 64 * 1024;
/// Bytes compared at once after a mismatch; doubled after every match.
const AFTER_MISMATCH_BYTES: usize = 128;
/// Without `--verify`, the number of replies other than the expected ones after which comparing stops.
const NON_ECHOES_MAX: u32 = 64;

/// The part of an event loop that sends lines and checks replies, with the buffers, counters and
/// histograms that its connections share.
#[derive(Debug)]
pub(crate) struct ReplyChecker {
    pub(crate) job: Arc<Job>,
    pub(super) transport: Transport,
    /// When the last bytes were read.
    pub(crate) now: u64,
    /// When a reply was last read.
    pub(crate) last_reply: u64,
    pub(crate) send_times: SendTimes,
    pub(crate) counters: Counters,
    /// Nanoseconds from the send of a line to its reply.
    pub(crate) service: Hist,
    /// Nanoseconds from the time a line was due to its reply (paced mode).
    pub(crate) response: Hist,
    /// Nanoseconds to the error lines in place of replies: from the send of the line, in paced mode from
    /// the time it was due.
    pub(crate) errors: Hist,
    /// What the last read settled otherwise than by replies, in the order of the lines.
    pub(super) exceptions: Vec<Exception>,
    /// Bytes that one write of a flood offers the kernel.
    pub(super) flood_write_bytes: usize,
    /// Descriptions of the first unexpected replies.
    pub(crate) examples: Vec<String>,
    pub(super) scratch: Vec<u8>,
    buffer: Buffer,
    line: Vec<u8>,
    /// Replies other than the expected ones, counted only without `--verify`.
    pub(super) non_echoes: u32,
}

/// The read buffer. It begins on a page boundary, because the kernel copies faster to there than to an
/// address 16 bytes past one, where allocators put large vectors (a tenth more flood per CPU).
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; READ_BYTES + PAGE_BYTES];
        let start = bytes.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Self { bytes, start }
    }

    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + READ_BYTES]
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + READ_BYTES]
    }
}

/// Consecutive lines in flight that a read settled otherwise than by replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) lines: Range<u64>,
    pub(super) by: SettledBy,
}

/// Why the reply to a line is no longer waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SettledBy {
    Reply,
    ErrorLine,
    /// The reply to a later line.
    LaterReply,
}

/// Outcome of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// This many lines in flight are settled: by replies, but for the checker's `exceptions`.
    Settled(u64),
    /// The server closed its side.
    End,
    /// The connection failed.
    Broken(Errno),
}

impl ReplyChecker {
    pub(super) fn new(job: Arc<Job>, transport: Transport) -> Self {
        Self {
            flood_write_bytes: flood_write_bytes(job.plan.in_flight.bytes(job.plan.connections)),
            job,
            transport,
            now: 0,
            last_reply: 0,
            send_times: SendTimes::new(),
            counters: Counters::default(),
            service: Hist::default(),
            response: Hist::default(),
            errors: Hist::default(),
            exceptions: Vec::new(),
            examples: Vec::new(),
            scratch: Vec::new(),
            buffer: Buffer::new(),
            line: Vec::new(),
            non_echoes: 0,
        }
    }

    /// Reads once and checks the replies.
    #[inline]
    pub(crate) fn receive(&mut self, conn: &mut Conn) -> Received {
        match self.transport.receive(conn, self.buffer.as_mut()) {
            Ok(0) => Received::End,
            Ok(n) => {
                self.now = clock::now();
                self.last_reply = self.now;
                self.counters.reads += 1;
                self.counters.bytes_received += n as u64;
                let buffer = std::mem::take(&mut self.buffer);
                let lines = self.check(conn, &buffer.as_ref()[..n]);
                self.buffer = buffer;
                Received::Settled(lines)
            }
            Err(Errno::AGAIN | Errno::INTR) => Received::Settled(0),
            Err(error) => Received::Broken(error),
        }
    }

    /// Reads once and only counts lines, for bad clients.
    pub(crate) fn discard(&mut self, conn: &Conn) -> Received {
        match self.transport.receive(conn, self.buffer.as_mut()) {
            Ok(0) => Received::End,
            Ok(n) => Received::Settled(
                memchr::memchr_iter(b'\n', &self.buffer.as_ref()[..n]).count() as u64,
            ),
            Err(Errno::AGAIN | Errno::INTR) => Received::Settled(0),
            Err(error) => Received::Broken(error),
        }
    }

    /// Compares bytes with what the connection expects. Returns how many lines in flight they settle.
    fn check(&mut self, conn: &mut Conn, mut rest: &[u8]) -> u64 {
        let before = conn.received.line;
        // After a mismatch the next line may not match either, so the comparison restarts with few
        // bytes: rendering a full window for every line that does not match takes quadratic time.
        let mut window_bytes = usize::MAX;
        while !rest.is_empty() {
            if conn.anomalies.as_ref().is_some_and(|t| !t.partial.is_empty()) || !self.compares() {
                rest = self.check_line(conn, rest);
                window_bytes = AFTER_MISMATCH_BYTES;
                continue;
            }
            let want = rest.len().min(window_bytes);
            let expected =
                self.job.expected.window(conn.id.into(), conn.received, want, &mut self.scratch);
            let (head, tail) = rest.split_at(expected.len());
            if head == expected {
                let at = self.job.expected.advance(conn.received, head);
                self.matched(conn, at);
                rest = tail;
                window_bytes = window_bytes.saturating_mul(2);
                continue;
            }
            let same = head.iter().zip(expected).take_while(|(a, b)| a == b).count();
            let at = self.job.expected.advance(conn.received, &head[..same]);
            self.matched(conn, at);
            self.keep_begun_line(conn);
            window_bytes = AFTER_MISMATCH_BYTES;
            rest = self.check_line(conn, &rest[same..]);
        }
        conn.received.line - before
    }

    /// Whether replies are compared with the expected stream.
    fn compares(&self) -> bool {
        self.job.plan.verify || self.non_echoes < NON_ECHOES_MAX
    }

    /// Counts the replies up to `at` as the expected ones.
    #[inline]
    fn matched(&mut self, conn: &mut Conn, at: Position) {
        let lines = at.line - conn.received.line;
        conn.received = at;
        self.counters.lines_received += lines;
        if self.job.plan.verify {
            self.counters.checked += lines;
        }
        if let (1.., Some(anomalies)) = (lines, &mut conn.anomalies) {
            anomalies.corrupted_at = None;
        }
        if conn.received.line > conn.sent.line {
            self.surplus_replies(conn);
        }
    }

    /// Moves the bytes of a line that began as expected, and then differed, to `partial`.
    fn keep_begun_line(&mut self, conn: &mut Conn) {
        let offset = std::mem::take(&mut conn.received.offset) as usize;
        if offset > 0 {
            let begun =
                self.job.expected.lines(conn.id.into(), conn.received, 1, &mut self.scratch);
            let begun = begun[..offset].to_vec();
            conn.anomalies().partial = begun;
        }
    }

    /// Classifies the first line of `rest` and returns what follows it. An incomplete line is kept for
    /// the next read.
    fn check_line<'a>(&mut self, conn: &mut Conn, rest: &'a [u8]) -> &'a [u8] {
        let Some(end) = memchr(b'\n', rest) else {
            let partial = &mut conn.anomalies().partial;
            let room = self.job.partial_bytes_max.saturating_sub(partial.len());
            partial.extend_from_slice(&rest[..room.min(rest.len())]);
            return &[];
        };
        let (line, rest) = rest.split_at(end + 1);
        match &mut conn.anomalies {
            Some(anomalies) if !anomalies.partial.is_empty() => {
                let mut whole = std::mem::take(&mut self.line);
                whole.clear();
                whole.append(&mut anomalies.partial);
                anomalies.partial = Vec::new();
                whole.extend_from_slice(line);
                self.classify(conn, &whole);
                self.line = whole;
            }
            _ => self.classify(conn, line),
        }
        rest
    }
}

/// Bytes that one write offers the kernel, if `in_flight` bytes may be unanswered.
fn flood_write_bytes(in_flight: Option<u64>) -> usize {
    in_flight.map_or(FLOOD_WRITE_BYTES_MAX, |bytes| bytes.min(FLOOD_WRITE_BYTES_MAX)) as usize
}
