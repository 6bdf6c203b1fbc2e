//! A lane: one thread with its own share of the connections and its own event loop.
//!
//! ```text
//!   step ── what the clock asks for: connects, paced lines, bad deeds, ticks, changes of phase
//!    │
//!   wait ── epoll, until a socket is ready, a moment has come, or the leader has news
//!    │
//!   serve ─ one read and one write per report ── desk: compare, count, time
//! ```
//! Lanes share nothing that is written on the way: the job and its blocks are read only, counters and
//! histograms are the lane's own and leave it once an interval.

mod bad_clients;
mod classify;
mod conn;
mod dispatch;
mod drain;
mod epoll;
mod in_flight;
mod interval;
mod ramp;
mod reply_checker;
mod schedule;
mod send;
mod well_behaved;

use std::sync::Arc;
use std::sync::mpsc::SyncSender;

use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use self::bad_clients::BadClients;
use self::conn::{Conn, Interest, State};
use self::drain::Drain;
use self::epoll::Poll;
use self::interval::Ledger;
use self::ramp::Ramp;
use self::reply_checker::Desk;
use self::schedule::Pace;
use crate::clock::{self, SECOND};
use crate::error::LoadError;
use crate::job::Job;
use crate::plan::{Mode, WeightedRoundRobin};
use crate::run::event::{Event, Phase};
use crate::run::phase_control::Control;

/// Which lane of how many: connection `g` of the run belongs to lane `g % of`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Share {
    pub(crate) index: u32,
    pub(crate) of: u32,
}

/// When the run starts and how often lanes report, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Timing {
    pub(crate) start: u64,
    pub(crate) interval: u64,
}

/// One thread's share of the load.
#[derive(Debug)]
pub(crate) struct Lane {
    share: Share,
    control: Arc<Control>,
    poll: Poll,
    conns: Vec<Conn>,
    desk: Desk,
    phase: Phase,
    open: u32,
    ramp: Ramp,
    pace: Option<Pace>,
    drain: Option<Drain>,
    bad_clients: BadClients,
    ledger: Ledger,
    outbox: SyncSender<Event>,
    next_scan: u64,
    /// Whether the last wait ended without a report: the silence is the sockets', not ours.
    quiet: bool,
}

impl Lane {
    /// Sets a lane up without opening anything but its epoll.
    ///
    /// # Errors
    /// When there is no descriptor left for the epoll.
    pub(crate) fn new(
        job: Arc<Job>,
        control: Arc<Control>,
        share: Share,
        timing: Timing,
        outbox: SyncSender<Event>,
    ) -> Result<Self, LoadError> {
        let plan = &job.plan;
        let mut mix = WeightedRoundRobin::new(&plan.mix, plan.connections);
        // Of exactly the size needed: a vector that grows leaves twice as much behind.
        let mut conns = Vec::with_capacity(plan.connections.div_ceil(share.of) as usize);
        for id in 0..plan.connections {
            let behavior = mix.next();
            if id % share.of == share.index {
                conns.push(Conn::new(id, behavior));
            }
        }
        let poll = Poll::new(&*control)
            .map_err(|e| LoadError::failed(format!("no descriptor left for an epoll: {e}")))?;
        let pace = match plan.mode {
            Mode::Paced { rate } => Some(Pace::new(plan, rate, share, &conns)),
            _ => None,
        };
        Ok(Self {
            share,
            control,
            poll,
            bad_clients: BadClients::new(&conns),
            conns,
            ramp: Ramp::new(plan, share, timing.start),
            pace,
            drain: None,
            desk: Desk::new(job),
            phase: Phase::Ramp,
            open: 0,
            ledger: Ledger::new(timing),
            outbox,
            next_scan: 0,
            quiet: false,
        })
    }

    /// Runs to the end of the load and reports all the way.
    pub(crate) fn run(mut self) {
        let end = match self.turn() {
            Ok(()) => self.finished(),
            Err(error) => Event::Failed(error.to_string()),
        };
        // Nobody listens any more only when the run was given up.
        let _ = self.outbox.send(end);
    }

    fn turn(&mut self) -> Result<(), LoadError> {
        loop {
            let now = clock::now();
            let due = self.step(now)?;
            if self.drain.as_ref().is_some_and(|drain| drain.over) {
                return Ok(());
            }
            let span = due.saturating_sub(now).min(SECOND);
            let reports = self
                .poll
                .wait(span)
                .map_err(|e| LoadError::failed(format!("waiting for sockets failed: {e}")))?;
            let woke = clock::now();
            self.ledger.slept(self.phase, woke - now);
            self.quiet = reports == 0;
            for index in 0..reports {
                if let Some(ready) = self.poll.report(index) {
                    self.serve(ready);
                }
            }
        }
    }

    /// Does what the clock asks for; returns when it asks next.
    fn step(&mut self, now: u64) -> Result<u64, LoadError> {
        let mut due = self.turn_phase(now)?;
        if self.phase != Phase::Drain {
            due = due.min(self.connect_due(now));
        }
        if self.phase == Phase::Steady {
            due = due.min(self.send_due(now));
            due = due.min(self.misbehave_due(now));
            if now >= self.next_scan {
                self.next_scan = now + SECOND;
                self.give_up_overdue(now);
            }
        }
        if self.phase == Phase::Ramp {
            due = due.min(self.misbehave_due(now));
        }
        if let Some(drain) = &self.drain {
            due = due.min(drain.look_at);
            self.drain_step(now);
        }
        Ok(due.min(self.tick_due(now)?))
    }

    /// Follows the leader from phase to phase.
    fn turn_phase(&mut self, now: u64) -> Result<u64, LoadError> {
        let (steady_at, stop_at) = (self.control.steady_at(), self.control.stop_at());
        if self.phase == Phase::Ramp && now >= steady_at {
            self.tick(now)?;
            self.phase = Phase::Steady;
            self.ledger.steady_begins(now);
            if let Some(pace) = &mut self.pace {
                pace.begin(steady_at);
            }
        }
        if self.phase < Phase::Drain && now >= stop_at {
            self.tick(now)?;
            self.ledger.steady_ends(self.phase, now);
            self.phase = Phase::Drain;
            self.begin_drain(now);
        }
        Ok(match self.phase {
            Phase::Ramp => steady_at.min(stop_at),
            Phase::Steady => stop_at,
            Phase::Drain => u64::MAX,
        })
    }

    fn watch(&mut self, index: usize, interest: Interest) {
        let conn = &mut self.conns[index];
        let Some(fd) = &conn.fd else { return };
        if conn.interest != interest {
            conn.interest = interest;
            // Fails only for a descriptor epoll does not know; this one it does.
            let _ = self.poll.modify(fd, index, interest);
        }
    }

    /// Ends a connection; counts it when the server ended it while the load was on.
    fn close(&mut self, index: usize, cause: Cause) {
        let conn = &mut self.conns[index];
        let was_open = conn.state == State::Open;
        self.open -= u32::from(was_open);
        conn.state = State::Closed;
        conn.fd = None;
        conn.owed = 0;
        conn.pong_left = 0;
        self.desk.flights.clear(&mut conn.flight);
        if !conn.is_polite() {
            self.bad_client_closed(index, cause, was_open);
        } else if self.phase != Phase::Drain && was_open {
            match cause {
                Cause::Server(None) => self.desk.counters.closed += 1,
                Cause::Server(Some(_)) => self.desk.counters.reset += 1,
                Cause::Ours => {}
            }
        } else if let Some(drain) = &mut self.drain {
            drain.left(conn.outstanding());
        }
    }
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The generator, by plan.
    Ours,
    /// The server: by closing its side, or with an error.
    Server(Option<Errno>),
}
