//! The event loop of one thread, which drives a share of the run's connections.
//!
//! ```text
//!   step ────── what is due: connects, scheduled lines, actions of bad clients, reports, phases
//!    │
//!   wait ────── epoll, until a socket is ready, something is due, or the phase changes
//!    │
//!   dispatch ── at most one read and one write per ready socket ── reply checker: compare, count, time
//! ```
//! Event loops share no memory that they write to: the job and its blocks of lines are read only,
//! and each loop has its own counters and histograms, which it hands over once an interval.

mod bad_clients;
mod classify;
mod conn;
mod dispatch;
mod drain;
mod epoll;
mod fanout;
mod in_flight;
mod interval;
mod ramp;
mod reply_checker;
mod schedule;
mod send;
mod transport;
mod well_behaved;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use self::bad_clients::BadClients;
use self::conn::{Conn, Interest, State};
use self::drain::Drain;
use self::epoll::Epoll;
use self::fanout::FanoutLoop;
use self::interval::LoopStats;
use self::ramp::Ramp;
use self::reply_checker::ReplyChecker;
use self::schedule::Schedule;
use self::transport::Transport;
use crate::clock::{self, SECOND};
use crate::error::LoadError;
use crate::job::Job;
use crate::plan::{Mode, WeightedRoundRobin};
use crate::run::event::{Event, Phase};
use crate::run::phase_control::PhaseControl;

/// Which event loop of how many: connection `id` of the run belongs to loop `id % of`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

/// When the run starts and how often event loops report, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Timing {
    pub(crate) start: u64,
    pub(crate) interval: u64,
}

/// An event loop and the connections that it drives.
#[derive(Debug)]
pub(crate) struct EventLoop {
    share: Share,
    control: Arc<PhaseControl>,
    epoll: Epoll,
    conns: Vec<Conn>,
    checker: ReplyChecker,
    phase: Phase,
    open: u32,
    ramp: Ramp,
    schedule: Option<Schedule>,
    drain: Option<Drain>,
    /// What a fan-out has in addition.
    fanout: Option<Box<FanoutLoop>>,
    bad_clients: BadClients,
    stats: LoopStats,
    outbox: SyncSender<Event>,
    next_scan: u64,
}

impl EventLoop {
    /// Makes the loop; of all its descriptors only the epoll is opened.
    ///
    /// # Errors
    /// When there is no descriptor left for the epoll.
    pub(crate) fn new(
        job: Arc<Job>,
        control: Arc<PhaseControl>,
        share: Share,
        timing: Timing,
        outbox: SyncSender<Event>,
    ) -> Result<Self, LoadError> {
        let plan = &job.plan;
        let mut mix = WeightedRoundRobin::new(&plan.mix, plan.connections);
        // Allocated in full at once: a vector that grows holds up to twice what it needs.
        let mut conns = Vec::with_capacity(plan.connections.div_ceil(share.of) as usize);
        for id in 0..plan.connections {
            let behavior = mix.next();
            if id % share.of == share.index {
                conns.push(Conn::new(id, behavior));
            }
        }
        let epoll = Epoll::new(&*control)
            .map_err(|e| LoadError::failed(format!("no descriptor left for an epoll: {e}")))?;
        let schedule = match plan.mode {
            Mode::Paced { rate } => Some(Schedule::new(plan, rate, share, &conns)),
            _ => None,
        };
        let transport = Transport::new(&job, share, conns.len());
        Ok(Self {
            share,
            control,
            epoll,
            bad_clients: BadClients::new(&conns),
            fanout: FanoutLoop::new(&job, &conns),
            conns,
            ramp: Ramp::new(plan, share, timing.start),
            schedule,
            drain: None,
            checker: ReplyChecker::new(job, transport),
            phase: Phase::Ramp,
            open: 0,
            stats: LoopStats::new(timing),
            outbox,
            next_scan: 0,
        })
    }

    /// Runs until the load and the drain are over, and reports every interval and the end.
    pub(crate) fn run(mut self) {
        let end = match self.run_phases() {
            Ok(()) => self.finished(),
            Err(error) => Event::Failed(error.to_string()),
        };
        // The receiver is gone only when the run was abandoned.
        let _ = self.outbox.send(end);
    }

    fn run_phases(&mut self) -> Result<(), LoadError> {
        loop {
            let now = clock::now();
            let due = self.step(now)?;
            if self.drain.as_ref().is_some_and(|drain| drain.over) {
                return Ok(());
            }
            let span = due.saturating_sub(now).min(SECOND);
            let events = self
                .epoll
                .wait(span)
                .map_err(|e| LoadError::failed(format!("waiting for sockets failed: {e}")))?;
            let woke_at = clock::now();
            self.stats.slept(self.phase, woke_at - now);
            for index in 0..events {
                if let Some(ready) = self.epoll.event(index) {
                    self.dispatch(ready);
                }
            }
        }
    }

    /// Does everything that is due; returns when something is due next.
    fn step(&mut self, now: u64) -> Result<u64, LoadError> {
        let mut due = self.update_phase(now)?;
        if self.phase != Phase::Drain {
            due = due.min(self.connect_due(now));
        }
        if self.phase == Phase::Steady {
            due = due.min(self.send_due(now)).min(self.publish_due(now));
            due = due.min(self.bad_clients_due(now));
            if now >= self.next_scan {
                self.next_scan = now + SECOND;
                self.expire_replies(now);
            }
        }
        if self.phase == Phase::Ramp {
            due = due.min(self.bad_clients_due(now));
        }
        if let Some(drain) = &self.drain {
            due = due.min(drain.next_check);
            self.drain_step(now);
        }
        Ok(due.min(self.interval_due(now)?))
    }

    /// Enters the next phase when its time has come; returns when the phase changes next.
    fn update_phase(&mut self, now: u64) -> Result<u64, LoadError> {
        let (steady_at, stop_at) = (self.control.steady_at(), self.control.stop_at());
        if self.phase == Phase::Ramp && now >= steady_at {
            self.report_interval(now)?;
            self.phase = Phase::Steady;
            self.stats.steady_begins(now);
            if let Some(schedule) = &mut self.schedule {
                schedule.begin(steady_at);
            }
            if let Some(fanout) = &mut self.fanout {
                fanout.begin(steady_at);
                self.publish_all();
            }
        }
        if self.phase < Phase::Drain && now >= stop_at {
            self.report_interval(now)?;
            self.stats.steady_ends(self.phase, now);
            self.phase = Phase::Drain;
            self.begin_drain(now);
        }
        Ok(match self.phase {
            Phase::Ramp => steady_at.min(stop_at),
            Phase::Steady => stop_at,
            Phase::Drain => u64::MAX,
        })
    }

    /// Sets what the loop waits for on a connection.
    #[inline]
    fn watch(&mut self, index: usize, interest: Interest) {
        let conn = &mut self.conns[index];
        let changed = self.checker.transport.watch(conn, interest);
        if let (Some(watched), Some(fd)) = (changed, &conn.fd) {
            // Fails only for a descriptor that was not added.
            let _ = self.epoll.modify(fd, index, watched);
        }
    }

    /// Closes a connection, and counts the close if the server caused it before the drain.
    fn close(&mut self, index: usize, closed_by: ClosedBy) {
        let conn = &mut self.conns[index];
        let was_open = conn.state == State::Open;
        self.open -= u32::from(was_open);
        conn.state = State::Closed;
        // A connection that failed takes nothing more.
        let notify = !matches!(closed_by, ClosedBy::Server(Some(_)));
        self.checker.transport.close(conn, notify);
        conn.pending = 0;
        conn.pong_left = 0;
        self.checker.send_times.clear(&mut conn.in_flight);
        if self.fanout.is_some() {
            return self.fanout_closed(index, closed_by, was_open);
        }
        if !conn.is_well_behaved() {
            return self.bad_client_closed(index, closed_by, was_open);
        }
        let counters = &mut self.checker.counters;
        match closed_by {
            // A server may close in the drain, when the run is over, unless it refuses the connection.
            _ if !was_open || self.phase == Phase::Drain && !conn.is_refused() => {}
            ClosedBy::Server(None) => counters.closed += 1,
            ClosedBy::Server(Some(_)) => counters.reset += 1,
            ClosedBy::Generator => {}
        }
        match &mut self.drain {
            Some(drain) => drain.connection_closed(conn.outstanding()),
            // That the server ended the connection is its own verdict: whether it had received these
            // lines is unknown.
            None => counters.unanswered += conn.abandon(),
        }
    }
}

/// Which side ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClosedBy {
    /// The generator, as planned.
    Generator,
    /// The server, by closing its side or with an error.
    Server(Option<Errno>),
}
