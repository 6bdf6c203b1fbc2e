//! Connections that behave badly on purpose, each in one way servers meet.
//!
//! Whatever ends such a connection, it comes back: at once when ending was its own deed (churn, reset),
//! and an interval later when the server ended it, so that the pressure on the server stays the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_linger;

use super::conn::{Conn, Interest, State};
use super::epoll::Ready;
use super::reply_checker::{Desk, Read};
use super::send::Sent;
use super::{Cause, Lane};
use crate::clock;
use crate::counters::BadClientCounters;
use crate::plan::ClientBehavior;
use crate::run::event::Phase;

/// Lines of one burst.
const BURST: u32 = 1000;

/// The lane's bad clients: when each acts next, and what they did.
#[derive(Debug, Default)]
pub(crate) struct BadClients {
    timers: BinaryHeap<Reverse<(u64, usize)>>,
    counts: [BadClientCounters; ClientBehavior::ALL.len()],
}

impl BadClients {
    pub(super) fn new(conns: &[Conn]) -> Self {
        let mut bad_clients = Self::default();
        for conn in conns.iter().filter(|c| !c.is_polite()) {
            bad_clients.of(conn.behavior).connections += 1;
        }
        bad_clients
    }

    /// The figures of every role that is played.
    pub(super) fn take(&mut self) -> Vec<(ClientBehavior, BadClientCounters)> {
        let counts = std::mem::take(&mut self.counts);
        ClientBehavior::ALL.into_iter().zip(counts).filter(|(_, c)| c.connections > 0).collect()
    }

    fn of(&mut self, behavior: ClientBehavior) -> &mut BadClientCounters {
        &mut self.counts[behavior as usize]
    }

    fn at(&mut self, moment: u64, index: usize) {
        self.timers.push(Reverse((moment, index)));
    }
}

impl Lane {
    /// Lets every bad client act whose moment has come.
    pub(super) fn misbehave_due(&mut self, now: u64) -> u64 {
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
                    self.bad_clients.at(now + interval, index);
                }
            }
            (State::Open, ClientBehavior::Slowloris) => {
                self.act(index, |desk, conn| drip(desk, conn, b"x"));
            }
            (State::Open, ClientBehavior::Trickle) => self.act(index, trickle),
            (State::Open, ClientBehavior::Burst) => self.act(index, |desk, conn| {
                conn.owed = BURST;
                desk.flush(conn, now)
            }),
            (State::Open, ClientBehavior::Reset) => {
                if let Some(fd) = &self.conns[index].fd {
                    // Closing then says RST instead of FIN; refused only for what is no socket.
                    let _ = set_socket_linger(fd, Some(Duration::ZERO));
                }
                return self.close(index, Cause::Ours);
            }
            (State::Connecting, _) => return self.connect_overdue(index, now),
            (State::Waiting | State::Open, _) => return,
        }
        if self.conns[index].state == State::Open {
            self.bad_clients.at(now + interval, index);
        }
    }

    pub(super) fn bad_client_opened(&mut self, index: usize, now: u64) {
        let behavior = self.conns[index].behavior;
        self.bad_clients.of(behavior).established += 1;
        let next = now + self.bad_client_interval();
        match behavior {
            ClientBehavior::NeverRead => self.watch(index, Interest::Write),
            ClientBehavior::HalfOpen => {
                self.say_one_line(index, now);
                self.watch(index, Interest::Nothing);
            }
            ClientBehavior::Churn => {
                self.watch(index, Interest::Read);
                self.say_one_line(index, now);
            }
            ClientBehavior::Reset => {
                self.watch(index, Interest::Read);
                self.say_one_line(index, now);
                self.bad_clients.at(next, index);
            }
            ClientBehavior::WellBehaved
            | ClientBehavior::Slowloris
            | ClientBehavior::Trickle
            | ClientBehavior::Burst => {
                self.watch(index, Interest::Read);
                self.bad_clients.at(next, index);
            }
        }
    }

    pub(super) fn serve_bad_client(&mut self, ready: Ready) {
        let index = ready.conn;
        let behavior = self.conns[index].behavior;
        if ready.read && matches!(behavior, ClientBehavior::NeverRead | ClientBehavior::HalfOpen) {
            // They do not read: this is the server closing, or the connection breaking.
            return self.close(index, Cause::Server(None));
        }
        if ready.read {
            match self.desk.discard(&self.conns[index]) {
                Read::Replies(lines) => {
                    self.bad_clients.of(behavior).lines_received += lines;
                    if behavior == ClientBehavior::Churn && lines > 0 {
                        return self.close(index, Cause::Ours);
                    }
                }
                Read::End => return self.close(index, Cause::Server(None)),
                Read::Broken(error) => return self.close(index, Cause::Server(Some(error))),
            }
        }
        if ready.write {
            let now = clock::now();
            if behavior == ClientBehavior::NeverRead {
                self.act(index, |desk, conn| desk.pour(conn, now));
            } else {
                self.act(index, |desk, conn| desk.flush(conn, now));
            }
        }
    }

    /// A bad client's connection ended, or its connect failed.
    pub(super) fn bad_client_closed(&mut self, index: usize, cause: Cause, was_open: bool) {
        let conn = &mut self.conns[index];
        conn.sent = Default::default();
        conn.trouble = None;
        let counts = self.bad_clients.of(conn.behavior);
        match cause {
            Cause::Server(_) if was_open => counts.closed_by_server += 1,
            Cause::Server(_) => counts.connect_failed += 1,
            Cause::Ours => {}
        }
        if self.phase != Phase::Drain {
            let pause = if cause == Cause::Ours { 0 } else { self.bad_client_interval() };
            self.bad_clients.at(clock::now() + pause, index);
        }
    }

    /// Sends something, counting it for the role and not for the run.
    fn act(&mut self, index: usize, deed: impl FnOnce(&mut Desk, &mut Conn) -> Sent) {
        let conn = &mut self.conns[index];
        let before = self.desk.counters;
        let sent = deed(&mut self.desk, conn);
        let bytes = self.desk.counters.bytes_sent - before.bytes_sent;
        self.desk.counters = before;
        self.desk.flights.clear(&mut conn.flight);
        let behavior = conn.behavior;
        self.bad_clients.of(behavior).bytes_sent += bytes;
        match sent {
            Sent::Broken(error) => self.close(index, Cause::Server(Some(error))),
            Sent::Blocked if behavior == ClientBehavior::Burst => self.watch(index, Interest::Both),
            Sent::All if behavior == ClientBehavior::Burst => self.watch(index, Interest::Read),
            Sent::All | Sent::Blocked => {}
        }
    }

    fn say_one_line(&mut self, index: usize, now: u64) {
        self.conns[index].owed = 1;
        self.act(index, |desk, conn| desk.flush(conn, now));
    }

    fn connect_overdue(&mut self, index: usize, now: u64) {
        let limit = self.conns[index].since + self.desk.job.plan.connect_timeout.as_nanos() as u64;
        if limit <= now {
            self.connect_failed(index, Errno::TIMEDOUT.into());
        } else {
            self.bad_clients.at(limit, index);
        }
    }

    fn bad_client_interval(&self) -> u64 {
        self.desk.job.plan.bad_client_interval.as_nanos() as u64
    }
}

/// Sends a few bytes if there is room for them, and nothing otherwise.
fn drip(desk: &mut Desk, conn: &mut Conn, bytes: &[u8]) -> Sent {
    match desk.send_raw(conn, bytes) {
        Ok(taken) => {
            desk.counters.bytes_sent += taken as u64;
            Sent::All
        }
        Err(error) => Sent::Broken(error),
    }
}

/// Sends the next byte of the stream of whole lines.
fn trickle(desk: &mut Desk, conn: &mut Conn) -> Sent {
    let mut scratch = Vec::new();
    let job = desk.job.clone();
    let byte = job.sent.window(conn.id.into(), conn.sent, 1, &mut scratch);
    let before = desk.counters.bytes_sent;
    let sent = drip(desk, conn, byte);
    if desk.counters.bytes_sent > before {
        conn.sent = job.sent.advance(conn.sent, byte);
    }
    sent
}
