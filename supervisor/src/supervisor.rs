//! The supervisor process: listens, sends connections to workers, sums their counts, serves no lines.

use std::{
    future, io,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::sleep,
};
use towline::{
    Outcome, RunError,
    internal::{
        Acceptor, AdmissionControl, ConnectionSlots, Listener, LiveConfig, PassedSocket,
        ProcessPlan, ProcessUsage, RejectionWords, ServerState, Stage, TlsChange, addresses, admin,
        announcement, drain,
        loader::ConfigLoader,
        log_start, notify,
        reload::{self, ConfigSource},
        signals::{HangUpSignal, StopSignals},
        threads, tls_files, watch_connection_limit, watchdog,
    },
    protocol::Lf,
};
use towline_config::Effective;

use crate::{
    command::Command,
    dispatch::WorkerDispatch,
    material,
    message::SettingsText,
    multi_process::{MultiProcess, worker_settings},
    pool::WorkerPool,
    worker_process::WorkerCommand,
    worker_supervisor::WorkerSupervisor,
};

/// How long workers may take beyond the drain deadline to report and exit.
const EXIT_GRACE: Duration = Duration::from_secs(2);

/// Commands that may wait for the task that supervises a worker.
const COMMANDS_MAX: usize = 16;

/// A supervisor whose workers serve.
#[derive(Debug)]
struct Supervisor {
    server: Arc<MultiProcess>,
    /// The tasks that supervise the workers; each returns how many connections its worker cut.
    workers: JoinSet<u64>,
    cut: u64,
    acceptor: JoinHandle<io::Result<()>>,
    stop_accepting: watch::Sender<bool>,
}

/// Serves with several processes until a signal to drain, then drains; a second signal cuts. Blocks
/// until then. SIGHUP reloads the settings from `source`.
///
/// `plan` says how many workers are started, each by `command`. They share the sockets `passed` by a
/// service manager, or else those of `server.listen`. `ready` is called once connections are accepted, with the
/// line for standard output.
///
/// # Errors
/// When the server cannot start, and when the listening socket fails.
pub fn run(
    effective: &Effective,
    source: &Arc<dyn ConfigSource>,
    plan: &ProcessPlan,
    passed: Vec<PassedSocket>,
    command: WorkerCommand,
    ready: impl FnOnce(&str),
) -> Result<Outcome, RunError> {
    let failed = |error| RunError::failed("the supervisor cannot be started", &error);
    let settings = &effective.settings;
    let runtime = threads::runtime().map_err(failed)?;
    let loader = Arc::new(ConfigLoader::start(source.clone())?);
    runtime.block_on(async {
        let mut stop = StopSignals::new().map_err(failed)?;
        let mut hang_up = HangUpSignal::new().map_err(failed)?;
        let listeners = Listener::open(settings, passed, plan.processes)?;
        let addresses = addresses(&listeners);
        let mut admin = admin::Sockets::bind(settings)?;
        let admin_address = admin.as_ref().and_then(admin::Sockets::address);
        // Removed when the supervisor ends; the endpoint itself runs until the process exits.
        let _socket_file = admin.as_mut().and_then(admin::Sockets::take_file);
        let mut supervisor = Supervisor::start(effective, plan, command, listeners).await?;
        let server = supervisor.server.clone();
        if let Some(sockets) = admin {
            admin::start(sockets, server.clone(), future::pending())?;
        }
        server.state.lifecycle.set(Stage::Accepting);
        log_start(plan, &addresses, admin_address, Some(settings));
        server.state.remote.obey(Some(loader.clone()));
        let announcement = announcement(&addresses, admin_address);
        let pool = server.pool.clone();
        tokio::spawn(async move { watchdog::feed(|| pool.ticks()).await });
        ready(&announcement);
        tokio::select! {
            name = stop.next() => {
                tracing::info!(signal = name, "draining");
                notify::stopping(server.state.slots.connections());
            }
            () = server.state.remote.drain_asked() => {
                tracing::info!(command = "drain", "draining");
                notify::stopping(server.state.slots.connections());
            }
            ended = &mut supervisor.acceptor => {
                let error = match ended {
                    Ok(Err(error)) => error,
                    Ok(Ok(())) | Err(_) => io::Error::other("the acceptor has ended"),
                };
                supervisor.end().await;
                return Err(RunError::failed("the listening socket failed", &error));
            }
            () = reload::reload_on_sighup(&mut hang_up, Some(&loader), &*server) => {}
            () = tls_files::reload_changed_files(Some(&loader), &*server) => {}
            () = report_serving(server.pool.serving(), plan.processes, &announcement) => {}
        }
        let second = async {
            tokio::select! {
                name = stop.next() => {
                    tracing::warn!(signal = name, "second signal: ending at once");
                }
                () = reload::ignore_sighup(&mut hang_up) => {}
            }
        };
        Ok(supervisor.drain(second).await)
    })
}

/// Reports to the log and to the service manager how many of the worker `processes` serve.
async fn report_serving(mut serving: watch::Receiver<usize>, processes: usize, announcement: &str) {
    let mut before = processes;
    loop {
        let now = *serving.borrow_and_update();
        if now == 0 && before > 0 {
            tracing::error!("no worker process serves: new connections wait");
        } else if now > 0 && before == 0 {
            tracing::info!(processes = now, "worker processes serve again");
        }
        if now != before && now < processes {
            notify::status(&format!("{now} of {processes} worker processes serve, {announcement}"));
        } else if now != before {
            notify::status(announcement);
        }
        before = now;
        if serving.changed().await.is_err() {
            // The pool lives as long as the server.
            return future::pending().await;
        }
    }
}

impl Supervisor {
    /// Starts the workers, and the acceptor once all of them serve.
    async fn start(
        effective: &Effective,
        plan: &ProcessPlan,
        command: WorkerCommand,
        listeners: Vec<Listener>,
    ) -> Result<Self, RunError> {
        let settings = &effective.settings;
        let pool = Arc::new(WorkerPool::new(plan.processes, plan.per_process, plan.threads));
        let slots = ConnectionSlots::new(plan.connections, plan.processes);
        let (dispatch, returned) = WorkerDispatch::new(pool.clone(), slots.clone());
        tokio::spawn(dispatch.clone().deliver_returned(returned));
        let command = Arc::new(command);
        let tls = TlsChange::load(None, &settings.tls)?;
        let mut text = SettingsText::encode(&worker_settings(settings, plan));
        let memory = tls.as_ref().map(|tls| material::share(&tls.material)).transpose();
        text.material =
            memory.map_err(|error| RunError::failed("certificates cannot be sent", &error))?;
        let worker_settings = Arc::new(Mutex::new(text));
        let (mut workers, mut commands, mut starts) = (JoinSet::new(), Vec::new(), Vec::new());
        for index in 0..plan.processes {
            let (sender, receiver) = mpsc::channel(COMMANDS_MAX);
            let (first, started) = oneshot::channel();
            let worker = WorkerSupervisor {
                index,
                command: command.clone(),
                dispatch: dispatch.clone(),
                settings: worker_settings.clone(),
                commands: receiver,
            };
            workers.spawn(worker.run(first));
            commands.push(sender);
            starts.push(started);
        }
        for started in starts {
            // On an error workers that serve already are cut, because their command queues close.
            let lost = |_| RunError::failed("a worker process", &io::Error::other("it was lost"));
            started.await.map_err(lost)??;
        }

        let mut config = LiveConfig::first(effective.clone());
        config.tls = tls;
        let config = Arc::new(watch::channel(config).0);
        let admission = AdmissionControl::new(slots.clone(), settings);
        let state = ServerState::new(*plan, config.clone(), &listeners, slots);
        let acceptor = Acceptor {
            listeners,
            admission,
            config: config.subscribe(),
            stats: state.accept.clone(),
            words: RejectionWords::of::<Lf>(),
            dispatch,
        };
        let (stop_accepting, mut stop) = watch::channel(false);
        let acceptor = tokio::spawn(acceptor.run(async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }));
        let (commands, usage) = (commands.into(), ProcessUsage::default());
        let settings = worker_settings;
        let server = Arc::new(MultiProcess { state, pool, commands, settings, usage });
        let watched = server.clone();
        tokio::spawn(async move { watch_connection_limit(&watched.state).await });
        Ok(Self { server, workers, cut: 0, acceptor, stop_accepting })
    }

    async fn drain(mut self, cut: impl Future<Output = ()>) -> Outcome {
        let server = self.server.clone();
        let timeouts = server.state.effective().settings.timeouts.clone();
        let mut queue_ended = false;
        let in_order = async {
            drain::stop_accepting(&server.state, &timeouts, &self.stop_accepting).await;
            self.command(|| Command::Drain).await;
            // The acceptor ends the connections in the kernel's accept queues, without a worker.
            let _ = (&mut self.acceptor).await;
            queue_ended = true;
            self.command(|| Command::NoMoreConnections).await;
            all_exited(&mut self.workers, &mut self.cut).await;
        };
        tokio::select! {
            () = in_order => {}
            () = sleep(timeouts.drain + EXIT_GRACE) => {
                tracing::warn!("worker processes have not ended by the drain deadline");
            }
            () = cut => {}
        }
        if !queue_ended {
            let Self { server, stop_accepting, acceptor, .. } = &mut self;
            self.cut += drain::end_queue_before_cut(&server.state, stop_accepting, acceptor).await;
        }
        self.end().await;
        let outcome = Outcome::of(self.cut);
        outcome.log();
        outcome
    }

    /// Cuts the workers that have not exited.
    async fn end(&mut self) {
        self.command(|| Command::Cut).await;
        all_exited(&mut self.workers, &mut self.cut).await;
        // Those that no worker has taken.
        self.cut += self.server.state.slots.connections() as u64;
    }

    /// Sends a command to every worker.
    async fn command(&self, command: impl Fn() -> Command) {
        for worker in &self.server.commands {
            // Fails if the worker's task has ended.
            let _ = worker.send(command()).await;
        }
    }
}

/// Waits until all workers have exited, and adds to `cut` how many connections they cut.
async fn all_exited(workers: &mut JoinSet<u64>, cut: &mut u64) {
    while let Some(worker) = workers.join_next().await {
        // If the task panicked, its end of the channel is closed, and its worker drains by itself.
        *cut += worker.unwrap_or(0);
    }
}
