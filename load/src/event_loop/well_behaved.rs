//! What a well-behaved connection does when it is established, receives replies, or can write.

use std::ops::Range;

use super::conn::{Conn, Interest};
use super::reply_checker::{Exception, ReplyChecker, SettledBy};
use super::send::Sent;
use super::{ClosedBy, EventLoop};
use crate::clock;
use crate::histogram::Hist;
use crate::plan::Mode;
use crate::run::event::Phase;

impl EventLoop {
    pub(super) fn well_behaved_opened(&mut self, index: usize, now: u64) {
        match self.checker.job.plan.mode {
            Mode::Flood => self.watch(index, Interest::Both),
            Mode::PingPong { window } if self.phase != Phase::Drain => {
                self.conns[index].pending = window;
                self.send_pending(index, now);
            }
            _ => self.watch(index, Interest::Read),
        }
    }

    /// Times the `lines` that a read has just settled, and sends what the mode sends next.
    #[inline]
    pub(super) fn settled(&mut self, index: usize, lines: u64) {
        let now = self.checker.now;
        if self.checker.exceptions.is_empty() {
            let end = self.conns[index].received.line;
            self.time(index, end - lines..end, SettledBy::Reply);
        } else {
            self.time_with_exceptions(index, lines);
        }
        let conn = &mut self.conns[index];
        match self.checker.job.plan.mode {
            Mode::Flood => {
                let room = conn.outstanding() <= self.checker.job.lines_in_flight / 2;
                if conn.pong_left > 0 || conn.pending > 0 {
                    // What the socket does not take now is sent later; meanwhile the flood itself shows
                    // the server that the client is alive.
                    let _ = self.checker.flush(conn, now);
                }
                if room && self.phase != Phase::Drain {
                    self.watch(index, Interest::Both);
                }
                return;
            }
            Mode::PingPong { window } => {
                if self.phase != Phase::Drain && !conn.is_refused() {
                    conn.pending = u64::from(window).saturating_sub(conn.outstanding()) as u32;
                }
            }
            Mode::Idle if lines > 0 => self.swept(index, now),
            Mode::Idle | Mode::Paced { .. } | Mode::Fanout { .. } => {}
        }
        let conn = &self.conns[index];
        if conn.pending > 0 || conn.pong_left > 0 {
            self.send_pending(index, now);
        }
    }

    /// Records the latency of lines in flight that were settled in the same way.
    #[inline]
    fn time(&mut self, index: usize, lines: Range<u64>, by: SettledBy) {
        let now = self.checker.now;
        let conn = &mut self.conns[index];
        let count = lines.end - lines.start;
        match self.checker.job.plan.mode {
            Mode::Flood => self.checker.time_sample(conn, count, by),
            Mode::PingPong { .. } | Mode::Idle => self.checker.time_service(conn, count, by),
            Mode::Paced { .. } => {
                if let (Some(schedule), Some(hist)) =
                    (&self.schedule, self.checker.response_hist(by))
                {
                    let rank = schedule.rank(index);
                    for line in lines {
                        hist.record(now.saturating_sub(schedule.due(rank, line)), 1);
                    }
                }
                self.checker.time_service(conn, count, by);
            }
            // Messages carry their times.
            Mode::Fanout { .. } => {}
        }
    }

    #[cold]
    fn time_with_exceptions(&mut self, index: usize, lines: u64) {
        let mut exceptions = std::mem::take(&mut self.checker.exceptions);
        let end = self.conns[index].received.line;
        let mut next = end - lines;
        for Exception { lines, by } in &exceptions {
            self.time(index, next..lines.start, SettledBy::Reply);
            self.time(index, lines.clone(), *by);
            next = lines.end;
        }
        self.time(index, next..end, SettledBy::Reply);
        exceptions.clear();
        self.checker.exceptions = exceptions;
    }

    #[inline]
    pub(super) fn writable(&mut self, index: usize) {
        let now = clock::now();
        if self.phase == Phase::Drain || self.checker.job.plan.mode != Mode::Flood {
            return self.send_pending(index, now);
        }
        let conn = &mut self.conns[index];
        if conn.outstanding() >= self.checker.job.lines_in_flight {
            // Writing resumes in `replied`, when half of the lines in flight have their reply.
            return self.watch(index, Interest::Read);
        }
        if let Sent::Broken(error) = self.checker.send_flood(conn, now) {
            self.close(index, ClosedBy::Server(Some(error)));
        }
    }

    /// Sends the lines that are due, and waits for writability if the socket takes no more.
    pub(super) fn send_pending(&mut self, index: usize, now: u64) {
        match self.checker.flush(&mut self.conns[index], now) {
            Sent::All => self.watch(index, Interest::Read),
            Sent::Blocked => self.watch(index, Interest::Both),
            Sent::Broken(error) => self.close(index, ClosedBy::Server(Some(error))),
        }
    }

    /// Gives up replies that took longer than the reply timeout, so that ping-pong goes on without them.
    /// They are counted as timeouts, and as late replies if they still arrive.
    pub(super) fn expire_replies(&mut self, now: u64) {
        let plan = &self.checker.job.plan;
        let Mode::PingPong { window } = plan.mode else { return };
        let limit = plan.reply_timeout.as_nanos() as u64;
        for index in 0..self.conns.len() {
            let conn = &mut self.conns[index];
            let overdue =
                self.checker.send_times.oldest(conn.in_flight).is_some_and(|at| at + limit <= now);
            if overdue && conn.received.offset == 0 && conn.sent.offset == 0 {
                self.checker.give_up(conn);
                conn.pending = window;
                self.send_pending(index, now);
            }
        }
    }
}

impl ReplyChecker {
    /// Records the time from send to reply, or to the error line, of lines in flight.
    #[inline]
    fn time_service(&mut self, conn: &mut Conn, lines: u64, by: SettledBy) {
        let now = self.now;
        let mut hist = match by {
            SettledBy::Reply => Some(&mut self.service),
            // In paced mode their time is counted from when they were due.
            SettledBy::ErrorLine if !self.job.plan.is_paced() => Some(&mut self.errors),
            SettledBy::ErrorLine | SettledBy::LaterReply => None,
        };
        self.send_times.pop(&mut conn.in_flight, lines, |sent_at, lines, _| {
            if let Some(hist) = &mut hist {
                hist.record(now.saturating_sub(sent_at), lines);
            }
        });
    }

    /// Records the time from send to reply, or to the error line, of a flood's one timed line.
    #[inline]
    fn time_sample(&mut self, conn: &mut Conn, lines: u64, by: SettledBy) {
        let now = self.now;
        let mut hist = match by {
            SettledBy::Reply => Some(&mut self.service),
            SettledBy::ErrorLine => Some(&mut self.errors),
            SettledBy::LaterReply => None,
        };
        self.send_times.pop(&mut conn.in_flight, lines, |sent_at, _, last| {
            if let (true, Some(hist)) = (last, &mut hist) {
                hist.record(now.saturating_sub(sent_at), 1);
            }
        });
    }

    /// The histogram of times from when a line was due.
    #[inline]
    fn response_hist(&mut self, by: SettledBy) -> Option<&mut Hist> {
        match by {
            SettledBy::Reply => Some(&mut self.response),
            SettledBy::ErrorLine => Some(&mut self.errors),
            SettledBy::LaterReply => None,
        }
    }

    fn give_up(&mut self, conn: &mut Conn) {
        let lines = conn.outstanding();
        self.counters.timeout += lines;
        self.send_times.clear(&mut conn.in_flight);
        let numbers = conn.received.line..conn.sent.line;
        conn.received.line = conn.sent.line;
        if self.job.distinct && self.job.plan.verify {
            self.note_gap(conn, numbers);
        } else {
            conn.anomalies().given_up += lines;
        }
    }
}
