//! What a well-behaved connection does when it opens, is answered, or has room to write.

use super::conn::{Conn, Interest};
use super::reply_checker::Desk;
use super::send::Sent;
use super::{Cause, Lane};
use crate::clock;
use crate::plan::Mode;
use crate::run::event::Phase;

impl Lane {
    pub(super) fn polite_opened(&mut self, index: usize, now: u64) {
        match self.desk.job.plan.mode {
            Mode::Flood => self.watch(index, Interest::Both),
            Mode::PingPong { window } if self.phase != Phase::Drain => {
                self.conns[index].owed = window;
                self.push_out(index, now);
            }
            _ => self.watch(index, Interest::Read),
        }
    }

    /// So many lines in flight were answered, just now.
    #[inline]
    pub(super) fn replied(&mut self, index: usize, replies: u64) {
        let now = self.desk.now;
        let conn = &mut self.conns[index];
        match self.desk.job.plan.mode {
            Mode::Flood => {
                self.desk.time_sample(conn, replies, now);
                let room = conn.outstanding() <= self.desk.job.lines_in_flight / 2;
                if conn.pong_left > 0 || conn.owed > 0 {
                    // What does not go out now goes with the next heartbeat; the flood itself is life.
                    let _ = self.desk.flush(conn, now);
                }
                if room && self.phase != Phase::Drain {
                    self.watch(index, Interest::Both);
                }
                return;
            }
            Mode::PingPong { window } => {
                self.desk.time_service(conn, replies, now);
                if self.phase != Phase::Drain && !conn.is_refused() {
                    conn.owed = u64::from(window).saturating_sub(conn.outstanding()) as u32;
                }
            }
            Mode::Paced { .. } => {
                if let Some(pace) = &self.pace {
                    let first = conn.received.line - replies;
                    let rank = pace.rank(index);
                    for line in first..first + replies {
                        let due = pace.due(rank, line);
                        self.desk.response.record(now.saturating_sub(due), 1);
                    }
                }
                self.desk.time_service(conn, replies, now);
            }
            Mode::Idle => {
                self.desk.time_service(conn, replies, now);
                if replies > 0 {
                    self.swept(index, now);
                }
            }
        }
        let conn = &self.conns[index];
        if conn.owed > 0 || conn.pong_left > 0 {
            self.push_out(index, now);
        }
    }

    #[inline]
    pub(super) fn writable(&mut self, index: usize) {
        let now = clock::now();
        if self.phase == Phase::Drain || self.desk.job.plan.mode != Mode::Flood {
            return self.push_out(index, now);
        }
        let conn = &mut self.conns[index];
        if conn.outstanding() >= self.desk.job.lines_in_flight {
            // Replies make room again, and half of it before the next write.
            return self.watch(index, Interest::Read);
        }
        if let Sent::Broken(error) = self.desk.pour(conn, now) {
            self.close(index, Cause::Server(Some(error)));
        }
    }

    /// Sends what the connection owes, and asks for a report when the socket takes no more.
    pub(super) fn push_out(&mut self, index: usize, now: u64) {
        match self.desk.flush(&mut self.conns[index], now) {
            Sent::All => self.watch(index, Interest::Read),
            Sent::Blocked => self.watch(index, Interest::Both),
            Sent::Broken(error) => self.close(index, Cause::Server(Some(error))),
        }
    }

    /// Ping-pong goes on without replies that are overdue; they are counted and may still come.
    pub(super) fn give_up_overdue(&mut self, now: u64) {
        let plan = &self.desk.job.plan;
        let Mode::PingPong { window } = plan.mode else { return };
        let limit = plan.reply_timeout.as_nanos() as u64;
        for index in 0..self.conns.len() {
            let conn = &mut self.conns[index];
            let overdue = self.desk.flights.oldest(conn.flight).is_some_and(|at| at + limit <= now);
            if overdue && conn.received.offset == 0 && conn.sent.offset == 0 {
                self.desk.give_up(conn);
                conn.owed = window;
                self.push_out(index, now);
            }
        }
    }
}

impl Desk {
    /// Times every line answered, from its send.
    #[inline]
    fn time_service(&mut self, conn: &mut Conn, replies: u64, now: u64) {
        let service = &mut self.service;
        self.flights.pop(&mut conn.flight, replies, |sent_at, lines, _| {
            service.record(now.saturating_sub(sent_at), lines);
        });
    }

    /// Times the one line of a flood that is timed, when it is answered.
    #[inline]
    fn time_sample(&mut self, conn: &mut Conn, replies: u64, now: u64) {
        let service = &mut self.service;
        self.flights.pop(&mut conn.flight, replies, |sent_at, _, last| {
            if last {
                service.record(now.saturating_sub(sent_at), 1);
            }
        });
    }

    fn give_up(&mut self, conn: &mut Conn) {
        let lines = conn.outstanding();
        self.counters.timeout += lines;
        self.flights.clear(&mut conn.flight);
        let numbers = conn.received.line..conn.sent.line;
        conn.received.line = conn.sent.line;
        let distinct = self.job.distinct;
        let trouble = conn.trouble();
        if distinct {
            trouble.gaps.extend(numbers);
        } else {
            trouble.given_up += lines;
        }
    }
}
