//! What the connections of a lane share: buffers, counters, histograms; and the reading of replies.
//!
//! A reply stream is compared with the expected one by slices as large as the read. Only where they
//! differ are lines looked at one by one (`judge`), so checking costs about as much as counting.

use std::sync::Arc;

use memchr::memchr;
use rustix::io::{Errno, read};

use super::conn::Conn;
use super::in_flight::Flights;
use super::send::offer;
use crate::clock;
use crate::counters::Counters;
use crate::histogram::Hist;
use crate::job::Job;
use crate::message::Position;

/// One read takes at most this much. Larger reads would let one flooding connection hold the others up.
const READ: usize = 256 * 1024;
const PAGE: usize = 4096;
/// Bytes compared at once after an odd line; doubles with every agreement.
const AFTER_ODD: usize = 128;
/// What is kept of an odd line without an end. Its further bytes cannot make it a right one.
const PARTIAL_MAX: usize = 1024 * 1024;
/// Without `--verify`, after so many replies that are not echoes the lane stops comparing.
const STRANGERS: u32 = 64;

/// The shared working place of a lane.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) job: Arc<Job>,
    /// When the bytes at hand were read.
    pub(crate) now: u64,
    /// When a reply last came.
    pub(crate) last_reply: u64,
    pub(crate) flights: Flights,
    pub(crate) counters: Counters,
    /// From the send of a line to its reply.
    pub(crate) service: Hist,
    /// From the moment a line was due to its reply (paced).
    pub(crate) response: Hist,
    /// What one write of a flood offers the kernel.
    pub(super) offer: usize,
    /// The first replies that were not what was expected, in words.
    pub(crate) examples: Vec<String>,
    pub(super) scratch: Vec<u8>,
    buffer: Buffer,
    line: Vec<u8>,
    /// Replies that were not echoes, while nobody asked to verify.
    pub(super) strangers: u32,
}

/// What reads go to. It begins at a page's edge: the kernel copies faster to there than to a place
/// sixteen bytes beside it, where an allocator likes to put large vectors (a tenth more flood per CPU).
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
}

impl Buffer {
    fn new() -> Self {
        let bytes = vec![0; READ + PAGE];
        let start = bytes.as_ptr().align_offset(PAGE).min(PAGE);
        Self { bytes, start }
    }

    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + READ]
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + READ]
    }
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// So many lines in flight were answered.
    Replies(u64),
    /// The server closed its side.
    End,
    /// The connection broke.
    Broken(Errno),
}

impl Desk {
    pub(crate) fn new(job: Arc<Job>) -> Self {
        Self {
            offer: offer(job.plan.in_flight.bytes(job.plan.connections)),
            job,
            now: 0,
            last_reply: 0,
            flights: Flights::new(),
            counters: Counters::default(),
            service: Hist::default(),
            response: Hist::default(),
            examples: Vec::new(),
            scratch: Vec::new(),
            buffer: Buffer::new(),
            line: Vec::new(),
            strangers: 0,
        }
    }

    /// Reads once and takes the replies in.
    #[inline]
    pub(crate) fn receive(&mut self, conn: &mut Conn) -> Read {
        let Some(fd) = &conn.fd else { return Read::Replies(0) };
        match read(fd, self.buffer.as_mut()) {
            Ok(0) => Read::End,
            Ok(n) => {
                self.now = clock::now();
                self.last_reply = self.now;
                self.counters.reads += 1;
                self.counters.bytes_received += n as u64;
                let buffer = std::mem::take(&mut self.buffer);
                let replies = self.take_in(conn, &buffer.as_ref()[..n]);
                self.buffer = buffer;
                Read::Replies(replies)
            }
            Err(Errno::AGAIN | Errno::INTR) => Read::Replies(0),
            Err(error) => Read::Broken(error),
        }
    }

    /// Reads once and only counts: for connections of which nothing is expected.
    pub(crate) fn discard(&mut self, conn: &Conn) -> Read {
        let Some(fd) = &conn.fd else { return Read::Replies(0) };
        match read(fd, self.buffer.as_mut()) {
            Ok(0) => Read::End,
            Ok(n) => {
                Read::Replies(memchr::memchr_iter(b'\n', &self.buffer.as_ref()[..n]).count() as u64)
            }
            Err(Errno::AGAIN | Errno::INTR) => Read::Replies(0),
            Err(error) => Read::Broken(error),
        }
    }

    /// Returns how many lines in flight these bytes answer.
    fn take_in(&mut self, conn: &mut Conn, mut rest: &[u8]) -> u64 {
        let before = conn.received.line;
        let mut skipped = 0;
        // After an odd line the next may be odd too, so what is compared at once starts small again:
        // rendering all that might match for every line that does not would take quadratic time.
        let mut reach = usize::MAX;
        while !rest.is_empty() {
            if conn.trouble.as_ref().is_some_and(|t| !t.partial.is_empty()) || !self.compares() {
                rest = self.odd_line(conn, rest, &mut skipped);
                reach = AFTER_ODD;
                continue;
            }
            let want = rest.len().min(reach);
            let expected =
                self.job.expected.window(conn.id.into(), conn.received, want, &mut self.scratch);
            let (head, tail) = rest.split_at(expected.len());
            if head == expected {
                let at = self.job.expected.advance(conn.received, head);
                self.matched(conn, at);
                rest = tail;
                reach = reach.saturating_mul(2);
                continue;
            }
            let same = head.iter().zip(expected).take_while(|(a, b)| a == b).count();
            let at = self.job.expected.advance(conn.received, &head[..same]);
            self.matched(conn, at);
            self.set_aside(conn);
            reach = AFTER_ODD;
            rest = self.odd_line(conn, &rest[same..], &mut skipped);
        }
        (conn.received.line - before).saturating_sub(skipped)
    }

    /// Whether replies are held against the expected stream.
    fn compares(&self) -> bool {
        self.job.plan.verify || self.strangers < STRANGERS
    }

    /// The reply stream agreed with the expected one up to `at`.
    #[inline]
    fn matched(&mut self, conn: &mut Conn, at: Position) {
        let lines = at.line - conn.received.line;
        conn.received = at;
        self.counters.lines_received += lines;
        if self.job.plan.verify {
            self.counters.checked += lines;
        }
        if let (1.., Some(trouble)) = (lines, &mut conn.trouble) {
            trouble.corrupted_at = None;
        }
        if conn.received.line > conn.sent.line {
            self.surplus(conn);
        }
    }

    /// The line begun as expected turned out another: its bytes so far are put where odd lines grow.
    fn set_aside(&mut self, conn: &mut Conn) {
        let offset = std::mem::take(&mut conn.received.offset) as usize;
        if offset > 0 {
            let begun =
                self.job.expected.lines(conn.id.into(), conn.received, 1, &mut self.scratch);
            let begun = begun[..offset].to_vec();
            conn.trouble().partial = begun;
        }
    }

    /// Takes one line off `rest` and judges it, or keeps its beginning for the next read.
    fn odd_line<'a>(&mut self, conn: &mut Conn, rest: &'a [u8], skipped: &mut u64) -> &'a [u8] {
        let Some(end) = memchr(b'\n', rest) else {
            let partial = &mut conn.trouble().partial;
            let room = PARTIAL_MAX.saturating_sub(partial.len());
            partial.extend_from_slice(&rest[..room.min(rest.len())]);
            return &[];
        };
        let (line, rest) = rest.split_at(end + 1);
        match &mut conn.trouble {
            Some(trouble) if !trouble.partial.is_empty() => {
                let mut whole = std::mem::take(&mut self.line);
                whole.clear();
                whole.append(&mut trouble.partial);
                trouble.partial = Vec::new();
                whole.extend_from_slice(line);
                *skipped += self.judge(conn, &whole);
                self.line = whole;
            }
            _ => *skipped += self.judge(conn, line),
        }
        rest
    }
}
