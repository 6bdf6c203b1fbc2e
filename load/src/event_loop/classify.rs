//! A line that is not the reply expected next: what is it?
//!
//! The server's own lines first (its heartbeat `ping`, our `pong` sent back, `ERR …`), then, where lines
//! can be told apart, a later line's reply (so the ones between are missing, or late), an earlier one's
//! (late, or sent twice), and otherwise a corrupted one.

use super::conn::{Conn, Trouble};
use super::reply_checker::Desk;
use crate::clock::MILLI;

/// How far from its place a reply is looked for.
const REACH: u64 = 64;
/// Lines passed over that are remembered by number, per connection.
const GAPS_MAX: usize = 4096;
/// Mismatches told in words.
const EXAMPLES_MAX: usize = 8;
/// A server's heartbeat follows silence. Only after so much of it may a surplus `ping` be one: a
/// duplicated reply comes sooner.
const SILENCE: u64 = 500 * MILLI;

impl Desk {
    /// Judges one whole line. Returns how many lines it shows to be passed over.
    pub(super) fn judge(&mut self, conn: &mut Conn, line: &[u8]) -> u64 {
        if self.is_expected(conn, conn.received.line, line) {
            conn.received.line += 1;
            self.counters.lines_received += 1;
            self.counters.checked += u64::from(self.job.plan.verify);
            if conn.received.line > conn.sent.line {
                self.surplus(conn);
            }
            return 0;
        }
        if line == b"ping\n" {
            self.heartbeat(conn);
            return 0;
        }
        if line == b"pong\n" && conn.trouble().pongs > 0 {
            conn.trouble().pongs -= 1;
            return 0;
        }
        self.counters.lines_received += 1;
        if line.starts_with(b"ERR ") {
            self.refusal(conn, line);
        } else if self.job.plan.verify {
            self.counters.checked += 1;
            return self.misplaced(conn, line);
        } else {
            self.strangers = self.strangers.saturating_add(1);
            answer(conn);
        }
        0
    }

    fn is_expected(&mut self, conn: &Conn, number: u64, line: &[u8]) -> bool {
        (self.job.plan.verify || self.strangers == 0)
            && self.job.expected.is_line(conn.id.into(), number, line, &mut self.scratch)
    }

    /// The server asks whether we live. Any line is answer enough, so one that is begun is finished.
    fn heartbeat(&mut self, conn: &mut Conn) {
        self.counters.heartbeats += 1;
        if conn.sent.offset > 0 {
            conn.owed = conn.owed.max(1);
        } else if conn.pong_left == 0 {
            conn.pong_left = PONG.len() as u8;
            conn.trouble().pongs += 1;
        }
    }

    fn refusal(&mut self, conn: &mut Conn, line: &[u8]) {
        let counters = &mut self.counters;
        let (kind, last) = match line {
            b"ERR timeout\n" => (&mut counters.err_timeout, false),
            b"ERR overloaded\n" => (&mut counters.err_overloaded, false),
            b"ERR line too long\n" => (&mut counters.err_line_too_long, true),
            b"ERR too many connections\n" => (&mut counters.err_too_many_connections, true),
            _ => (&mut counters.err_other, false),
        };
        *kind += 1;
        conn.trouble().refused |= last;
        answer(conn);
    }

    /// A reply in the wrong place, or of no line at all.
    fn misplaced(&mut self, conn: &mut Conn, line: &[u8]) -> u64 {
        let next = conn.received.line;
        if self.job.distinct {
            // The garbage before this line stood in nobody's place.
            if conn.trouble().corrupted_at.take() == Some(next.wrapping_sub(1))
                && self.is_expected(conn, next - 1, line)
            {
                return 0;
            }
            let ahead = conn.sent.line.saturating_sub(next).min(REACH);
            if let Some(found) = (next + 1..next + ahead).find(|n| self.is_expected(conn, *n, line))
            {
                return self.pass_over(conn, found);
            }
            let behind = next.saturating_sub(REACH)..next;
            if let Some(found) = behind.rev().find(|n| self.is_expected(conn, *n, line)) {
                self.come_late(conn, found);
                return 0;
            }
        }
        self.counters.corrupted += 1;
        self.tell(conn, "is not any line that was sent", Some(line));
        conn.trouble().corrupted_at = Some(next);
        answer(conn);
        0
    }

    /// The reply of line `found` came although those before it have not.
    fn pass_over(&mut self, conn: &mut Conn, found: u64) -> u64 {
        let next = conn.received.line;
        self.tell(conn, "came too early: a reply before it is missing or late", None);
        let gaps = &mut conn.trouble().gaps;
        let room = GAPS_MAX.saturating_sub(gaps.len()) as u64;
        let kept = (found - next).min(room);
        gaps.extend(next..next + kept);
        self.counters.missing += found - next - kept;
        conn.received.line = found + 1;
        self.flights.pop(&mut conn.flight, found - next, |_, _, _| ());
        found - next
    }

    /// The reply of line `found` came after those behind it: late, or once more.
    fn come_late(&mut self, conn: &mut Conn, found: u64) {
        let gaps = &mut conn.trouble().gaps;
        if let Some(place) = gaps.iter().position(|gap| *gap == found) {
            gaps.swap_remove(place);
            self.counters.reordered += 1;
            self.tell(conn, "came after the reply of a later line", None);
        } else {
            self.counters.duplicated += 1;
            self.tell(conn, "came twice", None);
        }
    }

    /// More replies than lines: late ones, a heartbeat that looks like a reply, or duplicates.
    ///
    /// When the message itself is `ping\n`, a heartbeat cannot be told from a reply by its bytes. It
    /// is taken for one only after half a second in which this connection sent nothing, now or before.
    #[cold]
    pub(super) fn surplus(&mut self, conn: &mut Conn) {
        let mut extra = conn.received.line - conn.sent.line;
        conn.received.line = conn.sent.line;
        let silent = self.now.saturating_sub(conn.since) >= SILENCE;
        let late = extra.min(conn.trouble().given_up);
        conn.trouble().given_up -= late;
        extra -= late;
        if self.job.heartbeat_alike && extra > 0 {
            let trouble = conn.trouble();
            if silent || trouble.heartbeat_credit > 0 {
                trouble.heartbeat_credit -= u32::from(!silent);
                extra -= 1;
                self.counters.lines_received -= 1;
                self.counters.checked -= u64::from(self.job.plan.verify);
                self.heartbeat(conn);
            }
        }
        if extra > 0 && self.job.plan.verify {
            self.counters.duplicated += extra;
            self.tell(conn, "came although every line had its reply", None);
        }
    }

    /// A line is about to be sent: had the connection been silent long enough for a heartbeat?
    #[inline]
    pub(super) fn note_silence(&self, conn: &mut Conn, now: u64) {
        if self.job.heartbeat_alike && now.saturating_sub(conn.since) >= SILENCE {
            conn.trouble().heartbeat_credit += 1;
        }
    }

    fn tell(&mut self, conn: &Conn, what: &str, line: Option<&[u8]>) {
        if self.examples.len() < EXAMPLES_MAX {
            let shown = line.map(|l| &l[..l.len().min(64)]);
            let quoted = shown.map(|l| format!(" ({})", l.escape_ascii())).unwrap_or_default();
            self.examples.push(format!(
                "connection {}, reply {}{quoted} {what}",
                conn.id, conn.received.line
            ));
        }
    }
}

/// The answer to a heartbeat.
pub(super) const PONG: &[u8] = b"pong\n";

/// The line takes the place of the reply due next, if one is due.
fn answer(conn: &mut Conn) {
    if conn.received.line < conn.sent.line {
        conn.received.line += 1;
    }
}

impl Trouble {
    /// Lines that never had their reply, as far as this connection can tell.
    pub(super) fn lost(&self) -> u64 {
        self.gaps.len() as u64 + self.given_up
    }
}
