//! Handing lines to the kernel.

use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use super::classify::PONG;
use super::conn::Conn;
use super::reply_checker::Desk;
use crate::plan::Mode;

/// What one write of a flood offers the kernel.
const OFFER: u64 = 64 * 1024;

/// What one write offers when only so many bytes may be in flight.
pub(super) fn offer(in_flight: Option<u64>) -> usize {
    in_flight.map_or(OFFER, |bytes| bytes.min(OFFER)) as usize
}

/// What came of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// Nothing is left to send.
    All,
    /// The socket takes no more for now.
    Blocked,
    /// The connection broke.
    Broken(Errno),
}

impl Desk {
    /// Sends the lines the connection owes, and before them the answer to a heartbeat.
    #[inline]
    pub(crate) fn flush(&mut self, conn: &mut Conn, now: u64) -> Sent {
        if conn.pong_left > 0 {
            match self.pong(conn) {
                Sent::All => {}
                other => return other,
            }
        }
        while conn.owed > 0 {
            let Some(fd) = &conn.fd else { return Sent::All };
            let sent = &self.job.sent;
            let bytes = sent.lines(conn.id.into(), conn.sent, conn.owed.into(), &mut self.scratch);
            let offered = bytes.len();
            let (taken, at) = match send(fd, bytes, SendFlags::NOSIGNAL) {
                Ok(taken) => (taken, sent.advance(conn.sent, &bytes[..taken])),
                Err(Errno::AGAIN) => return Sent::Blocked,
                Err(Errno::INTR) => continue,
                Err(error) => return Sent::Broken(error),
            };
            let lines = (at.line - conn.sent.line) as u32;
            self.note_silence(conn, now);
            conn.since = now;
            conn.sent = at;
            conn.owed -= lines;
            self.counters.writes += 1;
            self.counters.bytes_sent += taken as u64;
            self.counters.lines_sent += u64::from(lines);
            // Of a flood one line at a time is timed, by `pour`.
            if lines > 0 && self.job.plan.mode != Mode::Flood {
                self.flights.push(&mut conn.flight, now, lines);
            }
            if taken < offered {
                return Sent::Blocked;
            }
        }
        Sent::All
    }

    /// Offers the kernel the next block of an endless stream.
    ///
    /// One line in flight at a time is timed: the last one of a write made when no other was timed.
    #[inline]
    pub(crate) fn pour(&mut self, conn: &mut Conn, now: u64) -> Sent {
        let Some(fd) = &conn.fd else { return Sent::All };
        let sent = &self.job.sent;
        let bytes = sent.window(conn.id.into(), conn.sent, self.offer, &mut self.scratch);
        let (taken, at) = match send(fd, bytes, SendFlags::NOSIGNAL) {
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
        if lines > 0 && self.flights.oldest(conn.flight).is_none() {
            let ahead = u32::try_from(conn.outstanding()).unwrap_or(u32::MAX);
            self.flights.push(&mut conn.flight, now, ahead);
        }
        Sent::Blocked
    }

    /// Sends bytes that are no part of any line counted.
    pub(crate) fn send_raw(&mut self, conn: &Conn, bytes: &[u8]) -> Result<usize, Errno> {
        let Some(fd) = &conn.fd else { return Ok(0) };
        match send(fd, bytes, SendFlags::NOSIGNAL) {
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
