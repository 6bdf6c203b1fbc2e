//! The process that listens, hands connections over, sums up, and serves no line.

use std::{
    future, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use socket2::Socket;
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use towline_config::Effective;

use crate::{
    dispatch::WorkerDispatch,
    message::SettingsText,
    multi_process::{MultiProcess, worker_settings},
    pool::WorkerPool,
    worker_process::{Command, WorkerCommand},
    worker_supervisor::WorkerSupervisor,
};
use towline::{
    Outcome, RunError,
    internal::{
        Acceptor, AdmissionControl, ConnectionSlots, Listener, LiveConfig, Plan, ProcessUsage,
        ServerState, Stage, admin, announcement, drain, log_start, notify,
        reload::{self, ConfigSource},
        signals::{HangUpSignal, StopSignals},
        threads,
    },
};

/// What workers get beyond their own deadline to say that they have ended.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Wishes that may wait for a worker.
const COMMANDS_MAX: usize = 16;

/// A supervisor whose workers serve.
#[derive(Debug)]
struct Supervisor {
    server: Arc<MultiProcess>,
    /// The workers' places; each ends with the number of connections it cut.
    workers: JoinSet<u64>,
    cut: u64,
    acceptor: JoinHandle<io::Result<()>>,
    stop_accepting: watch::Sender<bool>,
}

/// Serves with several processes until a signal ends it. Calls `ready` with the line to announce once
/// connections are accepted.
pub fn run(
    effective: &Effective,
    source: &Arc<dyn ConfigSource>,
    plan: &Plan,
    passed: Option<Socket>,
    command: WorkerCommand,
    ready: impl FnOnce(&str),
) -> Result<Outcome, RunError> {
    let failed = |error| RunError::failed("the supervisor cannot be started", &error);
    let settings = &effective.settings;
    let runtime = threads::runtime().map_err(failed)?;
    let outcome = runtime.block_on(async {
        let mut stop = StopSignals::new().map_err(failed)?;
        let mut hang_up = HangUpSignal::new().map_err(failed)?;
        let listeners = Listener::open(settings, passed, plan.processes)?;
        let address = listeners[0].address().clone();
        let admin = settings.server.admin.map(admin::Socket::bind).transpose()?;
        let admin_address = admin.as_ref().map(admin::Socket::address);
        let mut supervisor = Supervisor::start(effective, plan, command, listeners).await?;
        let server = supervisor.server.clone();
        if let Some(socket) = admin {
            // It ends with the process.
            admin::start(socket, server.clone(), future::pending())?;
        }
        server.state.lifecycle.set(Stage::Accepting);
        log_start(plan, &address, admin_address, Some(settings));
        ready(&announcement(&address, admin_address));
        tokio::select! {
            name = stop.next() => {
                tracing::info!(signal = name, "draining");
                notify::stopping(server.state.slots.connections());
            }
            ended = &mut supervisor.acceptor => {
                let error = match ended {
                    Ok(Err(error)) => error,
                    Ok(Ok(())) | Err(_) => io::Error::other("nobody accepts any more"),
                };
                supervisor.end().await;
                return Err(RunError::failed("the listening socket failed", &error));
            }
            () = reload::on_hang_up(&mut hang_up, Some(source), &*server) => {}
        }
        let second = async {
            tokio::select! {
                name = stop.next() => {
                    tracing::warn!(signal = name, "second signal: ending at once");
                }
                () = reload::ignoring(&mut hang_up) => {}
            }
        };
        Ok(supervisor.drain(second).await)
    });
    // Not by dropping it, which waits for a configuration file that may never answer.
    runtime.shutdown_background();
    outcome
}

impl Supervisor {
    /// Starts the workers, and accepts once all of them serve.
    async fn start(
        effective: &Effective,
        plan: &Plan,
        command: WorkerCommand,
        listeners: Vec<Listener>,
    ) -> Result<Self, RunError> {
        let settings = &effective.settings;
        let pool = Arc::new(WorkerPool::new(plan.processes, plan.per_process, plan.threads));
        let command = Arc::new(command);
        let written = Arc::new(Mutex::new(SettingsText::of(&worker_settings(settings, plan))));
        let (mut workers, mut commands, mut firsts) = (JoinSet::new(), Vec::new(), Vec::new());
        for index in 0..plan.processes {
            let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
            let (first, wait) = oneshot::channel();
            let worker = WorkerSupervisor {
                index,
                command: command.clone(),
                pool: pool.clone(),
                settings: written.clone(),
                commands: receiver,
            };
            workers.spawn(worker.run(first));
            commands.push(sender);
            firsts.push(wait);
        }
        for first in firsts {
            // Those that serve already end with this function's end of their channels.
            let lost = |_| RunError::failed("a worker process", &io::Error::other("it was lost"));
            first.await.map_err(lost)??;
        }

        let config = Arc::new(watch::channel(LiveConfig::first(effective.clone())).0);
        let slots = ConnectionSlots::new(plan.connections, plan.processes);
        let admission = AdmissionControl::new(slots.clone(), &settings.limits);
        let state = ServerState::new(*plan, config.clone(), listeners[0].address(), slots);
        let acceptor = Acceptor {
            listeners,
            admission,
            config: config.subscribe(),
            stats: state.accept.clone(),
            dispatch: WorkerDispatch { pool: pool.clone(), slots: state.slots.clone() },
        };
        let (stop_accepting, mut stop) = watch::channel(false);
        let acceptor = tokio::spawn(acceptor.run(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }));
        let (commands, process) = (commands.into(), ProcessUsage::default());
        let server = Arc::new(MultiProcess { state, pool, commands, settings: written, process });
        Ok(Self { server, workers, cut: 0, acceptor, stop_accepting })
    }

    async fn drain(mut self, cut: impl Future<Output = ()>) -> Outcome {
        let server = self.server.clone();
        let timeouts = server.state.effective().settings.timeouts.clone();
        let in_order = async {
            drain::stop_accepting_in_order(&server.state, &timeouts, &self.stop_accepting).await;
            self.command(|| Command::Drain).await;
            // What waits in the kernel's queues follows, as far as there are places for it.
            let _ = (&mut self.acceptor).await;
            self.command(|| Command::Last).await;
            self.all_ended().await;
        };
        tokio::select! {
            () = in_order => {}
            () = sleep(timeouts.drain + EXIT_GRACE) => {
                tracing::warn!("worker processes have not ended by the drain deadline");
            }
            () = cut => {}
        }
        self.end().await;
        let outcome = Outcome::of(self.cut);
        outcome.log();
        outcome
    }

    /// Ends all workers that have not ended.
    async fn end(&mut self) {
        self.command(|| Command::Cut).await;
        self.all_ended().await;
    }

    /// Wishes something of every worker there is.
    async fn command(&self, command: impl Fn() -> Command) {
        for worker in &self.server.commands {
            // Fails when its place is given up already.
            let _ = worker.send(command()).await;
        }
    }

    /// Waits until all places are given up.
    async fn all_ended(&mut self) {
        while let Some(worker) = self.workers.join_next().await {
            // A task that panicked has closed its channel, so its process drains by itself.
            self.cut += worker.unwrap_or(0);
        }
    }
}
