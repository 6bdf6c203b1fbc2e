//! Who does the work: threads here, or worker processes when one has too few descriptors.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::event::Event;
use super::loop_threads::Lanes;
use super::protocol::Order;
use super::{EVENTS, worker};
use crate::clock::{self, MILLI};
use crate::error::LoadError;
use crate::event_loop::{Share, Timing};
use crate::host;
use crate::job::Job;
use crate::plan::Plan;

/// How long a worker process may take to say that it is ready.
const READY: Duration = Duration::from_secs(30);

/// How to start a worker process: a command that calls [`serve_as_worker`](crate::serve_as_worker).
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// The program, usually the one that runs now.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// The lanes of a run, wherever they are.
#[derive(Debug)]
pub(super) struct Crew {
    pub(super) events: Receiver<Event>,
    pub(super) lanes: u32,
    pub(super) processes: u32,
    pub(super) timing: Timing,
    here: Option<Lanes>,
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    child: Child,
    orders: ChildStdin,
}

impl Crew {
    /// Starts everybody; the run begins at once.
    pub(super) fn start(
        plan: &Plan,
        interval: u64,
        command: Option<&WorkerProgram>,
    ) -> Result<Self, LoadError> {
        let processes = plan.process_count()?;
        let threads = plan.threads.unwrap_or_else(|| (host::cores() / processes).max(1));
        let lanes = (processes * threads).min(plan.connections);
        let shares: Vec<Share> = (0..lanes).map(|index| Share { index, of: lanes }).collect();
        let (outbox, events) = sync_channel(EVENTS);
        if processes == 1 {
            let job = Arc::new(Job::new(plan.clone())?);
            let timing = Timing { start: clock::now() + MILLI, interval };
            let here = Some(Lanes::start(&job, &shares, timing, &outbox)?);
            return Ok(Self { events, lanes, processes, timing, here, workers: Vec::new() });
        }
        let command = command.ok_or_else(|| {
            LoadError::usage(format!(
                "{} connections need {processes} processes here, and this program cannot start any",
                plan.connections
            ))
        })?;
        let (ready_tx, ready_rx) = sync_channel(processes as usize);
        let mut workers = Vec::new();
        for process in 0..processes {
            let own = shares.iter().copied().filter(|s| s.index % processes == process).collect();
            workers.push(hire(command, plan, own, &outbox, &ready_tx)?);
        }
        for done in 0..processes {
            ready_rx.recv_timeout(READY).map_err(|_late| {
                LoadError::failed(format!("only {done} of {processes} worker processes got ready"))
            })?;
        }
        let timing = Timing { start: clock::now() + 20 * MILLI, interval };
        let mut crew = Self { events, lanes, processes, timing, here: None, workers };
        crew.order(&Order::Start(timing));
        Ok(crew)
    }

    /// The ramp is over now; the load ends at `stop`.
    pub(super) fn steady(&mut self, at: u64, stop: u64) {
        if let Some(lanes) = &self.here {
            lanes.control.steady(at, stop);
        }
        self.order(&Order::Steady(at, stop));
    }

    /// The load ends now.
    pub(super) fn stop(&mut self, at: u64) {
        if let Some(lanes) = &self.here {
            lanes.control.stop(at);
        }
        self.order(&Order::Stop(at));
    }

    /// Waits until everybody has gone.
    pub(super) fn dismiss(self) {
        if let Some(lanes) = self.here {
            lanes.join();
        }
        for mut worker in self.workers {
            drop(worker.orders);
            // Its events are all in; how it ends changes nothing any more.
            let _ = worker.child.wait();
        }
    }

    fn order(&mut self, order: &Order) {
        for worker in &mut self.workers {
            // A worker that is gone is noticed where its events end.
            let _ = write_line(&mut worker.orders, order);
        }
    }
}

fn hire(
    command: &WorkerProgram,
    plan: &Plan,
    shares: Vec<Share>,
    outbox: &SyncSender<Event>,
    ready: &SyncSender<()>,
) -> Result<Worker, LoadError> {
    let hired = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = hired.map_err(|e| {
        LoadError::failed(format!(
            "a worker process ({}) cannot start: {e}",
            command.program.display()
        ))
    })?;
    let (Some(mut orders), Some(words)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(LoadError::failed("a worker process has no pipes"));
    };
    let lanes: Vec<u32> = shares.iter().map(|s| s.index).collect();
    let (outbox, ready) = (outbox.clone(), ready.clone());
    thread::spawn(move || {
        // Nobody waits any more only when another worker failed to start.
        let say_ready = || ready.send(()).unwrap_or(());
        worker::listen(words, &lanes, say_ready, |event| outbox.send(event).is_ok());
    });
    write_line(&mut orders, &Order::Prepare(Box::new(plan.clone()), shares))
        .map_err(|e| LoadError::failed(format!("a worker process took no orders: {e}")))?;
    Ok(Worker { child, orders })
}

fn write_line(to: &mut impl Write, order: &Order) -> io::Result<()> {
    let mut line = serde_json::to_vec(order)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}
