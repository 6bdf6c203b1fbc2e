//! Sends lines.

use rustix::io::Errno;

use super::conn::{Conn, PONG};
use super::reply_checker::ReplyChecker;
use crate::plan::Mode;

/// Outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing is left to send.
    All,
    /// The socket's buffer is full.
    Blocked,
    /// The connection failed.
    Broken(Errno),
}

impl ReplyChecker {
    /// Sends the answer to a heartbeat, then the lines that are due on the connection.
    #[inline]
    pub(crate) fn flush(&mut self, conn: &mut Conn, now: u64) -> Sent {
        if conn.pong_left > 0 {
            match self.pong(conn) {
                Sent::All => {}
                other => return other,
            }
        }
        while conn.pending > 0 {
            let sent = &self.job.sent;
            let bytes =
                sent.lines(conn.id.into(), conn.sent, conn.pending.into(), &mut self.scratch);
            let offered = bytes.len();
            let (taken, at) = match self.transport.send(conn, bytes) {
                Ok(taken) => (taken, sent.advance(conn.sent, &bytes[..taken])),
                Err(Errno::AGAIN) => return Sent::Blocked,
                Err(Errno::INTR) => continue,
                Err(error) => return Sent::Broken(error),
            };
            let lines = (at.line - conn.sent.line) as u32;
            self.note_silence(conn, now);
            conn.since = now;
            conn.sent = at;
            conn.pending -= lines;
            self.counters.writes += 1;
            self.counters.bytes_sent += taken as u64;
            self.counters.lines_sent += u64::from(lines);
            // In flood mode `send_flood` times one line at a time.
            if lines > 0 && self.job.plan.mode != Mode::Flood {
                self.send_times.push(&mut conn.in_flight, now, lines);
            }
            if taken < offered {
                return Sent::Blocked;
            }
        }
        Sent::All
    }

    /// Offers the kernel the next block of the connection's stream.
    ///
    /// One line at a time is timed: the last line of a write that begins while none is timed.
    #[inline]
    pub(crate) fn send_flood(&mut self, conn: &mut Conn, now: u64) -> Sent {
        let sent = &self.job.sent;
        let bytes =
            sent.window(conn.id.into(), conn.sent, self.flood_write_bytes, &mut self.scratch);
        let (taken, at) = match self.transport.send(conn, bytes) {
            Ok(taken) => (taken, sent.advance(conn.sent, &bytes[..taken])),
            Err(Errno::AGAIN | Errno::INTR) => return Sent::Blocked,
            Err(error) => return Sent::Broken(error),
        };
        let lines = at.line - conn.sent.line;
        self.note_silence(conn, now);
        conn.since = now;
        conn.sent = at;
        self.counters.writes += 1;
        self.counters.bytes_sent += taken as u64;
        self.counters.lines_sent += lines;
        if lines > 0 && self.send_times.oldest(conn.in_flight).is_none() {
            let ahead = u32::try_from(conn.outstanding()).unwrap_or(u32::MAX);
            self.send_times.push(&mut conn.in_flight, now, ahead);
        }
        Sent::Blocked
    }

    /// Sends bytes that are not counted as lines. Returns 0 if the socket takes none.
    pub(crate) fn send_raw(&mut self, conn: &Conn, bytes: &[u8]) -> Result<usize, Errno> {
        match self.transport.send(conn, bytes) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            other => other,
        }
    }

    fn pong(&mut self, conn: &mut Conn) -> Sent {
        while conn.pong_left > 0 {
            let rest = &PONG[PONG.len() - usize::from(conn.pong_left)..];
            match self.send_raw(conn, rest) {
                Ok(0) => return Sent::Blocked,
                Ok(taken) => conn.pong_left -= taken as u8,
                Err(error) => return Sent::Broken(error),
            }
        }
        Sent::All
    }
}
