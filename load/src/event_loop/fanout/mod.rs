//! The event loop of a fan-out: publishers send numbered messages, and what each subscriber receives is
//! checked.
//!
//! A connection first sends its opening, such as `SUBSCRIBE`, and is open once that is confirmed. The ramp
//! ends when all are, so every subscriber must receive every message from number 0 on. When the load has
//! ended, the leader learns from the event loops how much each publisher has sent, and tells all of them:
//! so the end of the last messages is known, not guessed from silence.

mod drain;
mod publish;
mod receive;
mod sequence;

use self::publish::Publisher;
use self::receive::Received;
use self::sequence::Sequences;
use super::conn::{Conn, Interest, State};
use super::epoll::Ready;
use super::ramp::ConnectError;
use super::send::Sent;
use super::{ClosedBy, EventLoop};
use crate::fanout::FRAME_BYTES_MAX;
use crate::job::{FanoutJob, Job};
use crate::plan::{FanoutPace, Mode, Role};
use crate::run::event::Phase;

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;

/// An event loop's part of a fan-out.
#[derive(Debug)]
pub(crate) struct FanoutLoop {
    pace: FanoutPace,
    /// By the index of the connection.
    members: Vec<Member>,
    sequences: Sequences,
    publishers: Vec<Publisher>,
    /// The last subscriber that is open: with a window, publishers wait for it.
    reference: Option<usize>,
    /// Room for the beginning of a frame in front of what is read.
    buffer: Vec<u8>,
    /// When the schedule of messages began.
    start: u64,
    /// When a stuck subscriber was last read from, in the drain.
    stuck_read_at: u64,
}

/// What a connection has beside its [`Conn`].
#[derive(Debug)]
struct Member {
    /// The connection's number in the whole run.
    id: u32,
    role: Role,
    /// Whether its opening was confirmed.
    subscribed: bool,
    /// Replies to the opening that are still to come.
    unconfirmed: u32,
    /// Answers to heartbeats that the server may take for commands.
    pongs: u32,
    /// Messages received.
    delivered: u64,
    /// The beginning of a frame whose end has not arrived.
    carry: Vec<u8>,
    /// Bytes that the socket has not taken.
    out: Vec<u8>,
}

impl FanoutLoop {
    /// The event loop's part, if the run is a fan-out.
    pub(super) fn new(job: &Job, conns: &[Conn]) -> Option<Box<Self>> {
        let (plan, fanout) = (&job.plan, job.fanout.as_ref()?);
        let Mode::Fanout { pace } = plan.mode else { return None };
        let role = |conn: &Conn| plan.role(conn.id);
        let members = conns.iter().map(|conn| Member::new(conn.id, role(conn))).collect();
        let publishers = conns.iter().enumerate().filter_map(|(index, conn)| match role(conn) {
            Role::Publisher(number) => Some(Publisher::new(fanout, index, conn.id, number)),
            Role::Subscriber | Role::Stuck => None,
        });
        Some(Box::new(Self {
            pace,
            members,
            sequences: Sequences::new(conns.len(), plan.fanout.publishers as usize),
            publishers: publishers.collect(),
            reference: None,
            buffer: vec![0; FRAME_BYTES_MAX + READ_BYTES],
            start: 0,
            stuck_read_at: 0,
        }))
    }

    /// Begins the schedule of messages.
    pub(super) fn begin(&mut self, start: u64) {
        self.start = start;
    }

    /// The messages that a connection received; `None` if it is no subscriber that reads.
    pub(super) fn delivered(&self, index: usize) -> Option<u64> {
        let member = &self.members[index];
        (member.role == Role::Subscriber).then_some(member.delivered)
    }
}

impl Member {
    fn new(id: u32, role: Role) -> Self {
        Self {
            id,
            role,
            subscribed: false,
            unconfirmed: 0,
            pongs: 0,
            delivered: 0,
            carry: Vec::new(),
            out: Vec::new(),
        }
    }
}

/// What is derived from the plan; a fan-out always has it.
fn job(job: &Job) -> Option<&FanoutJob> {
    job.fanout.as_ref()
}

impl EventLoop {
    /// Sends the opening of a connection whose handshake has ended.
    pub(super) fn fanout_connected(&mut self, index: usize, now: u64) {
        let plan_job = self.checker.job.clone();
        let (Some(fanout), Some(job)) = (&mut self.fanout, job(&plan_job)) else { return };
        let (conn, member) = (&mut self.conns[index], &mut fanout.members[index]);
        let (opening, replies) = job.commands.opening(conn.id, member.role);
        conn.state = State::Opening;
        member.unconfirmed = replies;
        member.out = opening;
        if replies == 0 {
            self.fanout_opened(index, now);
        }
        self.fanout_writable(index);
    }

    /// Handles the confirmation of an opening.
    fn fanout_opened(&mut self, index: usize, now: u64) {
        self.opened(index, now);
        self.checker.counters.established += 1;
        let Some(fanout) = &mut self.fanout else { return };
        fanout.members[index].subscribed = true;
        match fanout.members[index].role {
            Role::Subscriber => fanout.reference = fanout.reference.max(Some(index)),
            Role::Stuck => self.watch(index, Interest::Nothing),
            Role::Publisher(_) => {}
        }
    }

    pub(super) fn fanout_ready(&mut self, ready: Ready) {
        let index = ready.conn;
        if ready.read {
            let Some(fanout) = &self.fanout else { return };
            let open = self.conns[index].state == State::Open;
            if open && fanout.members[index].role == Role::Stuck {
                return self.stuck_ready(index);
            }
            match self.fanout_receive(index) {
                Received::Frames { confirmed } => {
                    if confirmed {
                        self.fanout_opened(index, self.checker.now);
                    }
                }
                Received::Refused => {
                    return self.connect_failed(index, ConnectError::NotSubscribed);
                }
                Received::End(error) if open => return self.close(index, ClosedBy::Server(error)),
                Received::End(_) => return self.connect_failed(index, ConnectError::NotSubscribed),
            }
            self.fanout_received(index);
        }
        if ready.write && matches!(self.conns[index].state, State::Opening | State::Open) {
            self.fanout_writable(index);
        }
    }

    /// Sends what a read has made due: answers to heartbeats, and messages that waited for a subscriber.
    fn fanout_received(&mut self, index: usize) {
        let Some(fanout) = &self.fanout else { return };
        if !fanout.members[index].out.is_empty() {
            self.fanout_writable(index);
        }
        let Some(fanout) = &self.fanout else { return };
        if fanout.reference == Some(index) && matches!(fanout.pace, FanoutPace::Window(_)) {
            self.publish_all();
        }
    }

    /// Sends what waits for the socket, and from a publisher what is due.
    fn fanout_writable(&mut self, index: usize) {
        let Some(fanout) = &self.fanout else { return };
        let member = &fanout.members[index];
        if matches!(member.role, Role::Publisher(_)) && self.conns[index].state == State::Open {
            let number = fanout.publishers.iter().position(|p| p.index == index);
            return number.map_or((), |number| self.publish(number));
        }
        let interest = match self.fanout_flush(index) {
            Sent::Broken(error) => return self.close(index, ClosedBy::Server(Some(error))),
            Sent::Blocked => Interest::Both,
            Sent::All if member_is_stuck(self, index) => Interest::Nothing,
            Sent::All => Interest::Read,
        };
        self.watch(index, interest);
    }

    /// Sends the bytes that wait for the socket.
    fn fanout_flush(&mut self, index: usize) -> Sent {
        let Some(fanout) = &mut self.fanout else { return Sent::All };
        let out = &mut fanout.members[index].out;
        while !out.is_empty() {
            match self.checker.send_raw(&self.conns[index], out) {
                Ok(0) => return Sent::Blocked,
                Ok(taken) => {
                    self.checker.counters.writes += 1;
                    self.checker.counters.bytes_sent += taken as u64;
                    out.drain(..taken);
                }
                Err(error) => return Sent::Broken(error),
            }
        }
        if !matches!(fanout.members[index].role, Role::Publisher(_)) {
            fanout.members[index].out = Vec::new();
        }
        Sent::All
    }

    /// Counts the end of a connection.
    pub(super) fn fanout_closed(&mut self, index: usize, closed_by: ClosedBy, was_open: bool) {
        let Some(fanout) = &mut self.fanout else { return };
        let member = &mut fanout.members[index];
        (member.carry, member.out) = (Vec::new(), Vec::new());
        let role = member.role;
        if fanout.reference == Some(index) {
            let open = |at: &usize| {
                fanout.members[*at].role == Role::Subscriber && self.conns[*at].state == State::Open
            };
            fanout.reference = (0..self.conns.len()).rev().find(open);
        }
        let counters = &mut self.checker.counters;
        match closed_by {
            _ if was_open && role == Role::Stuck => counters.stuck_ended += 1,
            _ if !was_open || self.phase == Phase::Drain => {}
            ClosedBy::Server(None) => counters.closed += 1,
            ClosedBy::Server(Some(_)) => counters.reset += 1,
            ClosedBy::Generator => {}
        }
    }
}

fn member_is_stuck(event_loop: &EventLoop, index: usize) -> bool {
    event_loop.conns[index].state == State::Open
        && event_loop.fanout.as_ref().is_some_and(|f| f.members[index].role == Role::Stuck)
}
