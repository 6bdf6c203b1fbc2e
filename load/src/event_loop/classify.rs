//! Classifies a line that is not the reply expected next.
//!
//! First come the lines that the server sends by itself: its heartbeat `ping`, an echo of the
//! generator's `pong`, and `ERR …`, which takes the place of a reply. Then, if the lines of the message
//! differ: the reply to a later line (those between are missing or late), or to an earlier one (late, or
//! sent twice). Any other line is a corrupted reply.

use std::ops::Range;

use super::conn::{Anomalies, Conn, PONG};
use super::reply_checker::{Exception, ReplyChecker, SettledBy};
use crate::clock::MILLI;

/// How many lines ahead and behind are searched for the line that a reply belongs to.
const SEARCH_LINES: u64 = 64;
/// Numbers of missing lines remembered per connection. Further ones are counted as missing at once.
const GAPS_MAX: usize = 4096;
/// Mismatches that the report describes.
const EXAMPLES_MAX: usize = 8;
/// Time without a line sent after which a surplus `ping` may be a heartbeat. A server sends heartbeats
/// to silent clients only, and a duplicated reply arrives sooner than this.
const HEARTBEAT_SILENCE: u64 = 500 * MILLI;

impl ReplyChecker {
    /// Classifies and counts a whole line.
    pub(super) fn classify(&mut self, conn: &mut Conn, line: &[u8]) {
        if self.is_expected(conn, conn.received.line, line) {
            conn.received.line += 1;
            self.counters.lines_received += 1;
            self.counters.checked += u64::from(self.job.plan.verify);
            if conn.received.line > conn.sent.line {
                self.surplus_replies(conn);
            }
            return;
        }
        if line == b"ping\n" {
            return self.heartbeat(conn);
        }
        if line == b"pong\n" && conn.anomalies().pongs > 0 {
            conn.anomalies().pongs -= 1;
            return;
        }
        self.counters.lines_received += 1;
        if line.starts_with(b"ERR ") {
            self.error_line(conn, line);
        } else if self.job.plan.verify {
            self.counters.checked += 1;
            self.misplaced(conn, line);
        } else {
            self.non_echoes = self.non_echoes.saturating_add(1);
            consume_reply(conn);
        }
    }

    fn is_expected(&mut self, conn: &Conn, number: u64, line: &[u8]) -> bool {
        (self.job.plan.verify || self.non_echoes == 0)
            && self.job.expected.is_line(conn.id.into(), number, line, &mut self.scratch)
    }

    /// Answers a heartbeat. Any line is an answer, so a line that is partly sent is completed instead.
    fn heartbeat(&mut self, conn: &mut Conn) {
        self.counters.heartbeats += 1;
        if conn.sent.offset > 0 {
            conn.pending = conn.pending.max(1);
        } else if conn.pong_left == 0 {
            conn.pong_left = PONG.len() as u8;
            conn.anomalies().pongs += 1;
        }
    }

    fn error_line(&mut self, conn: &mut Conn, line: &[u8]) {
        let counters = &mut self.counters;
        if line.starts_with(b"ERR too many connections") {
            // Refuses the connection, and is no line's reply.
            counters.err_too_many_connections += 1;
            conn.anomalies().refused = true;
            return;
        }
        *match line {
            b"ERR timeout\n" => &mut counters.err_timeout,
            b"ERR overloaded\n" => &mut counters.err_overloaded,
            b"ERR line too long\n" => &mut counters.err_line_too_long,
            _ => &mut counters.err_other,
        } += 1;
        if self.job.plan.verify {
            counters.checked += 1;
            counters.error_replies += 1;
        }
        if line == b"ERR line too long\n" {
            conn.anomalies().refused = true;
        }
        let next = conn.received.line;
        if consume_reply(conn) {
            self.except(next..next + 1, SettledBy::ErrorLine);
        }
    }

    /// Notes that lines were settled otherwise than by replies.
    fn except(&mut self, lines: Range<u64>, by: SettledBy) {
        match self.exceptions.last_mut() {
            Some(last) if last.by == by && last.lines.end == lines.start => {
                last.lines.end = lines.end;
            }
            _ => self.exceptions.push(Exception { lines, by }),
        }
    }

    /// Finds the line that a reply out of order belongs to; if there is none, the reply is corrupted.
    fn misplaced(&mut self, conn: &mut Conn, line: &[u8]) {
        let next = conn.received.line;
        if self.job.distinct {
            // The corrupted line before this one was an extra line: it took no reply's place.
            if conn.anomalies().corrupted_at.take() == Some(next.wrapping_sub(1))
                && self.is_expected(conn, next - 1, line)
            {
                return;
            }
            let ahead = conn.sent.line.saturating_sub(next).min(SEARCH_LINES);
            if let Some(found) = (next + 1..next + ahead).find(|n| self.is_expected(conn, *n, line))
            {
                return self.skip_to(conn, found);
            }
            let behind = next.saturating_sub(SEARCH_LINES)..next;
            if let Some(found) = behind.rev().find(|n| self.is_expected(conn, *n, line)) {
                return self.late_reply(conn, found);
            }
        }
        self.counters.corrupted += 1;
        self.add_example(conn, "is not any line that was sent", Some(line));
        conn.anomalies().corrupted_at = Some(next);
        consume_reply(conn);
    }

    /// Handles the reply to line `found` while replies to earlier lines are missing.
    fn skip_to(&mut self, conn: &mut Conn, found: u64) {
        let next = conn.received.line;
        self.add_example(conn, "came too early: a reply before it is missing or late", None);
        self.note_gap(conn, next..found);
        conn.received.line = found + 1;
        self.except(next..found, SettledBy::LaterReply);
    }

    /// Remembers lines that have no reply so far.
    pub(super) fn note_gap(&mut self, conn: &mut Conn, lines: Range<u64>) {
        let gaps = &mut conn.anomalies().gaps;
        let room = GAPS_MAX.saturating_sub(gaps.len()) as u64;
        let kept = lines.end.min(lines.start + room);
        gaps.extend(lines.start..kept);
        self.counters.missing += lines.end - kept;
    }

    /// Handles the reply to line `found` after replies to later lines: it is late, or a duplicate.
    fn late_reply(&mut self, conn: &mut Conn, found: u64) {
        let gaps = &mut conn.anomalies().gaps;
        if let Some(place) = gaps.iter().position(|gap| *gap == found) {
            gaps.swap_remove(place);
            self.counters.reordered += 1;
            self.add_example(conn, "came after the reply of a later line", None);
        } else {
            self.counters.duplicated += 1;
            self.add_example(conn, "came twice", None);
        }
    }

    /// Handles more replies than lines sent: late replies, a heartbeat that looks like a reply, or
    /// duplicates.
    ///
    /// If the message is `ping\n`, a heartbeat has the same bytes as a reply. A surplus `ping` counts as
    /// a heartbeat only if the connection sent nothing for half a second, now or at some time before.
    #[cold]
    pub(super) fn surplus_replies(&mut self, conn: &mut Conn) {
        let mut extra = conn.received.line - conn.sent.line;
        conn.received.line = conn.sent.line;
        let silent = self.now.saturating_sub(conn.since) >= HEARTBEAT_SILENCE;
        let late = extra.min(conn.anomalies().given_up);
        conn.anomalies().given_up -= late;
        extra -= late;
        if self.job.heartbeat_alike && extra > 0 {
            let anomalies = conn.anomalies();
            if silent || anomalies.heartbeat_credit > 0 {
                anomalies.heartbeat_credit -= u32::from(!silent);
                extra -= 1;
                self.counters.lines_received -= 1;
                self.counters.checked -= u64::from(self.job.plan.verify);
                self.heartbeat(conn);
            }
        }
        if extra > 0 && self.job.plan.verify {
            self.counters.duplicated += extra;
            self.add_example(conn, "came although every line had its reply", None);
        }
    }

    /// Notes, before a line is sent, whether the pause was long enough for a heartbeat.
    #[inline]
    pub(super) fn note_silence(&self, conn: &mut Conn, now: u64) {
        if self.job.heartbeat_alike && now.saturating_sub(conn.since) >= HEARTBEAT_SILENCE {
            conn.anomalies().heartbeat_credit += 1;
        }
    }

    fn add_example(&mut self, conn: &Conn, what: &str, line: Option<&[u8]>) {
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

/// Takes the received line as the reply that is expected next, or as one that was given up. Returns
/// whether one was expected.
fn consume_reply(conn: &mut Conn) -> bool {
    let expected = conn.received.line < conn.sent.line;
    if expected {
        conn.received.line += 1;
    } else if let Some(anomalies) = &mut conn.anomalies {
        anomalies.given_up = anomalies.given_up.saturating_sub(1);
    }
    expected
}

impl Anomalies {
    /// Lines known to have no reply.
    pub(super) fn lost(&self) -> u64 {
        self.gaps.len() as u64 + self.given_up
    }
}
