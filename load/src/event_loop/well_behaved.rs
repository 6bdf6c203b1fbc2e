//! What a well-behaved connection does when it is established, receives replies, or can write.

use super::conn::{Conn, Interest};
use super::reply_checker::ReplyChecker;
use super::send::Sent;
use super::{ClosedBy, EventLoop};
use crate::clock;
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

    /// Times `replies` that were just received, and sends what the mode sends next.
    #[inline]
    pub(super) fn replied(&mut self, index: usize, replies: u64) {
        let now = self.checker.now;
        let conn = &mut self.conns[index];
        match self.checker.job.plan.mode {
            Mode::Flood => {
                self.checker.time_sample(conn, replies, now);
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
                self.checker.time_service(conn, replies, now);
                if self.phase != Phase::Drain && !conn.is_refused() {
                    conn.pending = u64::from(window).saturating_sub(conn.outstanding()) as u32;
                }
            }
            Mode::Paced { .. } => {
                if let Some(schedule) = &self.schedule {
                    let first = conn.received.line - replies;
                    let rank = schedule.rank(index);
                    for line in first..first + replies {
                        let due = schedule.due(rank, line);
                        self.checker.response.record(now.saturating_sub(due), 1);
                    }
                }
                self.checker.time_service(conn, replies, now);
            }
            Mode::Idle => {
                self.checker.time_service(conn, replies, now);
                if replies > 0 {
                    self.swept(index, now);
                }
            }
        }
        let conn = &self.conns[index];
        if conn.pending > 0 || conn.pong_left > 0 {
            self.send_pending(index, now);
        }
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
    /// Records the time from send to reply of every answered line.
    #[inline]
    fn time_service(&mut self, conn: &mut Conn, replies: u64, now: u64) {
        let service = &mut self.service;
        self.send_times.pop(&mut conn.in_flight, replies, |sent_at, lines, _| {
            service.record(now.saturating_sub(sent_at), lines);
        });
    }

    /// Records the time from send to reply of a flood's one timed line, once it is answered.
    #[inline]
    fn time_sample(&mut self, conn: &mut Conn, replies: u64, now: u64) {
        let service = &mut self.service;
        self.send_times.pop(&mut conn.in_flight, replies, |sent_at, _, last| {
            if last {
                service.record(now.saturating_sub(sent_at), 1);
            }
        });
    }

    fn give_up(&mut self, conn: &mut Conn) {
        let lines = conn.outstanding();
        self.counters.timeout += lines;
        self.send_times.clear(&mut conn.in_flight);
        let numbers = conn.received.line..conn.sent.line;
        conn.received.line = conn.sent.line;
        let distinct = self.job.distinct;
        let anomalies = conn.anomalies();
        if distinct {
            anomalies.gaps.extend(numbers);
        } else {
            anomalies.given_up += lines;
        }
    }
}
