//! The event loops of a run: threads of this process, or of worker processes if one process has too
//! few descriptors.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use super::event::Event;
use super::loop_threads::LoopThreads;
use super::protocol::LeaderMsg;
use super::{EVENTS_MAX, worker};
use crate::clock::{self, MILLI};
use crate::error::LoadError;
use crate::event_loop::{Share, Timing};
use crate::host;
use crate::job::Job;
use crate::plan::Plan;

/// How long a worker process may take to get ready.
const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// The program of worker processes; it calls [`serve_as_worker`](crate::serve_as_worker).
#[derive(Clone, Debug)]
pub struct WorkerProgram {
    /// Path of the program, usually the one that is running.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
}

/// The event loops of a run, in this process or in workers.
#[derive(Debug)]
pub(super) struct WorkerPool {
    pub(super) events: Receiver<Event>,
    pub(super) loops: u32,
    pub(super) processes: u32,
    pub(super) timing: Timing,
    local: Option<LoopThreads>,
    workers: Vec<WorkerProcess>,
}

#[derive(Debug)]
struct WorkerProcess {
    child: Child,
    stdin: ChildStdin,
}

impl WorkerPool {
    /// Starts all event loops; the run begins at once.
    pub(super) fn start(
        plan: &Plan,
        interval: u64,
        command: Option<&WorkerProgram>,
    ) -> Result<Self, LoadError> {
        let processes = plan.process_count()?;
        let threads = plan.threads.unwrap_or_else(|| (host::cores() / processes).max(1));
        let loops = (processes * threads).min(plan.loops_max().max(processes));
        let shares: Vec<Share> = (0..loops).map(|index| Share { index, of: loops }).collect();
        let (outbox, events) = sync_channel(EVENTS_MAX);
        if processes == 1 {
            let job = Arc::new(Job::new(plan.clone())?);
            let timing = Timing { start: clock::now() + MILLI, interval };
            let local = Some(LoopThreads::start(&job, &shares, timing, &outbox)?);
            return Ok(Self { events, loops, processes, timing, local, workers: Vec::new() });
        }
        let command = command.ok_or_else(|| {
            LoadError::usage(format!(
                "{} connections need {processes} processes on this host, and this program cannot start any",
                plan.connections
            ))
        })?;
        let (ready_tx, ready_rx) = sync_channel(processes as usize);
        let mut workers = Vec::new();
        for process in 0..processes {
            let own = shares.iter().copied().filter(|s| s.index % processes == process).collect();
            workers.push(start_worker(command, plan, own, &outbox, &ready_tx)?);
        }
        for done in 0..processes {
            ready_rx.recv_timeout(READY_TIMEOUT).map_err(|_late| {
                LoadError::failed(format!("only {done} of {processes} worker processes got ready"))
            })?;
        }
        let timing = Timing { start: clock::now() + 20 * MILLI, interval };
        let mut pool = Self { events, loops, processes, timing, local: None, workers };
        pool.send_to_workers(&LeaderMsg::Start(timing));
        Ok(pool)
    }

    /// Ends the ramp at `at` and the load at `stop`.
    pub(super) fn steady(&mut self, at: u64, stop: u64) {
        if let Some(threads) = &self.local {
            threads.control.steady(at, stop);
        }
        self.send_to_workers(&LeaderMsg::Steady(at, stop));
    }

    /// Ends the load at `at`.
    pub(super) fn stop(&mut self, at: u64) {
        if let Some(threads) = &self.local {
            threads.control.stop(at);
        }
        self.send_to_workers(&LeaderMsg::Stop(at));
    }

    /// Tells every event loop how many messages each publisher has sent.
    pub(super) fn published(&mut self, messages: &[Option<u64>]) {
        if let Some(threads) = &self.local {
            threads.control.set_published(messages.to_vec());
        }
        self.send_to_workers(&LeaderMsg::Published(messages.to_vec()));
    }

    /// Waits for all threads and processes to end.
    pub(super) fn join(self) {
        if let Some(threads) = self.local {
            threads.join();
        }
        for mut worker in self.workers {
            drop(worker.stdin);
            // All its events have been received, so its exit status does not matter.
            let _ = worker.child.wait();
        }
    }

    fn send_to_workers(&mut self, message: &LeaderMsg) {
        for worker in &mut self.workers {
            // A worker that is gone is noticed by the end of its events.
            let _ = write_line(&mut worker.stdin, message);
        }
    }
}

fn start_worker(
    command: &WorkerProgram,
    plan: &Plan,
    shares: Vec<Share>,
    outbox: &SyncSender<Event>,
    ready: &SyncSender<()>,
) -> Result<WorkerProcess, LoadError> {
    let started = Command::new(&command.program)
        .args(&command.arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|e| {
        LoadError::failed(format!(
            "a worker process ({}) cannot start: {e}",
            command.program.display()
        ))
    })?;
    let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(LoadError::failed("a worker process has no pipes"));
    };
    let loops: Vec<u32> = shares.iter().map(|s| s.index).collect();
    let (outbox, ready) = (outbox.clone(), ready.clone());
    thread::spawn(move || {
        // The receiver is gone only when another worker failed to start.
        let say_ready = || ready.send(()).unwrap_or(());
        worker::read_events(stdout, &loops, say_ready, |event| outbox.send(event).is_ok());
    });
    write_line(&mut stdin, &LeaderMsg::Prepare(Box::new(plan.clone()), shares)).map_err(|e| {
        LoadError::failed(format!("a worker process does not read its standard input: {e}"))
    })?;
    Ok(WorkerProcess { child, stdin })
}

fn write_line(to: &mut impl Write, message: &LeaderMsg) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}
