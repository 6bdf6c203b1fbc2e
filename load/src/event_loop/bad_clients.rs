//! Bad clients: connections that misbehave on purpose, each in one way that servers meet.
//!
//! A bad client whose connection ends connects again: at once if it closed the connection itself (churn,
//! reset), after an interval if the server did. So the number of bad clients stays the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rustix::io::Errno;

use super::conn::{Conn, Interest, State};
use super::epoll::Ready;
use super::reply_checker::{Received, ReplyChecker};
use super::send::Sent;
use super::{ClosedBy, EventLoop};
use crate::clock;
use crate::counters::BadClientCounters;
use crate::plan::ClientBehavior;
use crate::run::event::Phase;

/// Lines of one burst.
const BURST_LINES: u32 = 1000;

/// The event loop's bad clients: when each acts next, and their counts by behavior.
#[derive(Debug, Default)]
pub(crate) struct BadClients {
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    counts: [BadClientCounters; ClientBehavior::ALL.len()],
}

impl BadClients {
    pub(super) fn new(conns: &[Conn]) -> Self {
        let mut bad_clients = Self::default();
        for conn in conns.iter().filter(|c| !c.is_well_behaved()) {
            bad_clients.counts_of(conn.behavior).connections += 1;
        }
        bad_clients
    }

    /// Takes the counts of every behavior that occurs.
    pub(super) fn take(&mut self) -> Vec<(ClientBehavior, BadClientCounters)> {
        let counts = std::mem::take(&mut self.counts);
        ClientBehavior::ALL.into_iter().zip(counts).filter(|(_, c)| c.connections > 0).collect()
    }

    fn counts_of(&mut self, behavior: ClientBehavior) -> &mut BadClientCounters {
        &mut self.counts[behavior as usize]
    }

    fn set_timer(&mut self, at: u64, index: usize) {
        self.timers.push(Reverse((at, index)));
    }
}

impl EventLoop {
    /// Lets every bad client act whose timer is due; returns when the next one is.
    pub(super) fn bad_clients_due(&mut self, now: u64) -> u64 {
        loop {
            match self.bad_clients.timers.peek() {
                None => return u64::MAX,
                Some(Reverse((due, _))) if *due > now => return *due,
                Some(Reverse((_, index))) => {
                    let index = *index;
                    self.bad_clients.timers.pop();
                    self.misbehave(index, now);
                }
            }
        }
    }

    fn misbehave(&mut self, index: usize, now: u64) {
        let interval = self.bad_client_interval();
        match (self.conns[index].state, self.conns[index].behavior) {
            (State::Closed, _) => {
                if !self.connect(index, now) {
                    self.bad_clients.set_timer(now + interval, index);
                }
            }
            (State::Open, ClientBehavior::Slowloris) => {
                self.act(index, |checker, conn| drip(checker, conn, b"x"));
            }
            (State::Open, ClientBehavior::Trickle) => self.act(index, trickle),
            (State::Open, ClientBehavior::Burst) => self.act(index, |checker, conn| {
                conn.pending = BURST_LINES;
                checker.flush(conn, now)
            }),
            (State::Open, ClientBehavior::Reset) => {
                self.checker.transport.abort(&mut self.conns[index]);
                return self.close(index, ClosedBy::Generator);
            }
            (State::Connecting, _) => return self.connect_overdue(index, now),
            (State::Waiting | State::Opening | State::Open, _) => return,
        }
        if self.conns[index].state == State::Open {
            self.bad_clients.set_timer(now + interval, index);
        }
    }

    pub(super) fn bad_client_opened(&mut self, index: usize, now: u64) {
        let behavior = self.conns[index].behavior;
        self.bad_clients.counts_of(behavior).established += 1;
        let next = now + self.bad_client_interval();
        match behavior {
            ClientBehavior::NeverRead => self.watch(index, Interest::Write),
            ClientBehavior::HalfOpen => {
                self.send_one_line(index, now);
                self.watch(index, Interest::Nothing);
            }
            ClientBehavior::Churn => {
                self.watch(index, Interest::Read);
                self.send_one_line(index, now);
            }
            ClientBehavior::Reset => {
                self.watch(index, Interest::Read);
                self.send_one_line(index, now);
                self.bad_clients.set_timer(next, index);
            }
            ClientBehavior::WellBehaved
            | ClientBehavior::Slowloris
            | ClientBehavior::Trickle
            | ClientBehavior::Burst => {
                self.watch(index, Interest::Read);
                self.bad_clients.set_timer(next, index);
            }
        }
    }

    pub(super) fn bad_client_ready(&mut self, ready: Ready) {
        let index = ready.conn;
        let behavior = self.conns[index].behavior;
        if ready.read && matches!(behavior, ClientBehavior::NeverRead | ClientBehavior::HalfOpen) {
            // These behaviors never read: the event means that the server closed, or an error.
            return self.close(index, ClosedBy::Server(None));
        }
        if ready.read {
            match self.checker.discard(&self.conns[index]) {
                Received::Settled(lines) => {
                    self.bad_clients.counts_of(behavior).lines_received += lines;
                    if behavior == ClientBehavior::Churn && lines > 0 {
                        return self.close(index, ClosedBy::Generator);
                    }
                }
                Received::End => return self.close(index, ClosedBy::Server(None)),
                Received::Broken(error) => return self.close(index, ClosedBy::Server(Some(error))),
            }
        }
        if ready.write {
            let now = clock::now();
            if behavior == ClientBehavior::NeverRead {
                self.act(index, |checker, conn| checker.send_flood(conn, now));
            } else {
                self.act(index, |checker, conn| checker.flush(conn, now));
            }
        }
    }

    /// Counts the end of a bad client's connection, or its failed connect, and schedules the next connect.
    pub(super) fn bad_client_closed(&mut self, index: usize, closed_by: ClosedBy, was_open: bool) {
        let conn = &mut self.conns[index];
        conn.sent = Default::default();
        conn.anomalies = None;
        let counts = self.bad_clients.counts_of(conn.behavior);
        match closed_by {
            ClosedBy::Server(_) if was_open => counts.closed_by_server += 1,
            ClosedBy::Server(_) => counts.connect_failed += 1,
            ClosedBy::Generator => {}
        }
        if self.phase != Phase::Drain {
            let pause =
                if closed_by == ClosedBy::Generator { 0 } else { self.bad_client_interval() };
            self.bad_clients.set_timer(clock::now() + pause, index);
        }
    }

    /// Sends by `action`, and counts what it sent for the behavior instead of for the run.
    fn act(&mut self, index: usize, action: impl FnOnce(&mut ReplyChecker, &mut Conn) -> Sent) {
        let conn = &mut self.conns[index];
        let before = self.checker.counters;
        let sent = action(&mut self.checker, conn);
        let bytes = self.checker.counters.bytes_sent - before.bytes_sent;
        self.checker.counters = before;
        self.checker.send_times.clear(&mut conn.in_flight);
        let behavior = conn.behavior;
        self.bad_clients.counts_of(behavior).bytes_sent += bytes;
        match sent {
            Sent::Broken(error) => self.close(index, ClosedBy::Server(Some(error))),
            Sent::Blocked if behavior == ClientBehavior::Burst => self.watch(index, Interest::Both),
            Sent::All if behavior == ClientBehavior::Burst => self.watch(index, Interest::Read),
            // The transport may have kept some of it.
            Sent::All | Sent::Blocked => self.watch(index, self.conns[index].interest),
        }
    }

    fn send_one_line(&mut self, index: usize, now: u64) {
        self.conns[index].pending = 1;
        self.act(index, |checker, conn| checker.flush(conn, now));
    }

    fn connect_overdue(&mut self, index: usize, now: u64) {
        let limit =
            self.conns[index].since + self.checker.job.plan.connect_timeout.as_nanos() as u64;
        if limit <= now {
            self.connect_failed(index, Errno::TIMEDOUT.into());
        } else {
            self.bad_clients.set_timer(limit, index);
        }
    }

    fn bad_client_interval(&self) -> u64 {
        self.checker.job.plan.bad_client_interval.as_nanos() as u64
    }
}

/// Sends bytes if the socket takes them, and drops them otherwise.
fn drip(checker: &mut ReplyChecker, conn: &mut Conn, bytes: &[u8]) -> Sent {
    match checker.send_raw(conn, bytes) {
        Ok(taken) => {
            checker.counters.bytes_sent += taken as u64;
            Sent::All
        }
        Err(error) => Sent::Broken(error),
    }
}

/// Sends the next byte of the connection's stream of lines.
fn trickle(checker: &mut ReplyChecker, conn: &mut Conn) -> Sent {
    let mut scratch = Vec::new();
    let job = checker.job.clone();
    let byte = job.sent.window(conn.id.into(), conn.sent, 1, &mut scratch);
    let before = checker.counters.bytes_sent;
    let sent = drip(checker, conn, byte);
    if checker.counters.bytes_sent > before {
        conn.sent = job.sent.advance(conn.sent, byte);
    }
    sent
}
