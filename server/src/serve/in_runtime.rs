//! One listener in the program's own runtime: a shard without a thread.

use std::{future::pending, pin::pin, slice, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use towline_config::Timeouts;
use towline_middleware::{
    Semaphore,
    drain::{self, Signal, Watch},
    stats::Stats,
};

use super::tasks::ConnectionTasks;
#[cfg(feature = "tls")]
use crate::lifecycle::tls_files::FilesInRuntime;
use crate::{
    Outcome, Peer, RunError,
    accept::{
        AcceptStats, Acceptor, AdmissionControl, ConnectionSlots, Dispatch, Listener,
        NewConnection, RejectionWords,
    },
    closed::ClosedConnections,
    counts::ProcessPlace,
    hooks::Hooks,
    live_config::LiveConfig,
    overload::run_overload_control,
    plan::{ProcessPlan, ProtocolRules},
    shard::{
        ConnectionStarter, PoolState, ServeSocket, StepsByListener, drain_in_steps, unfinished,
        wake_all,
    },
    stack::StackParts,
};

/// How long a cut waits for the connections to close and for those in the accept queue to end.
const CUT_WAIT_MAX: Duration = Duration::from_millis(500);

/// A server that the program's runtime runs, before it does.
#[derive(Debug)]
pub(crate) struct InRuntime {
    pub config: LiveConfig,
    pub plan: ProcessPlan,
    pub listener: Listener,
    pub hooks: Hooks,
    pub protocol: ProtocolRules,
    /// When to drain; `None` is never.
    pub drain: Option<Watch>,
    /// How files of certificates stood before they were read, if they are looked at.
    #[cfg(feature = "tls")]
    pub files: Option<crate::tls::FileStamps>,
}

/// Serves in tasks of the runtime that polls it, until `drain` signals and the last connection is closed or
/// cut.
pub(crate) async fn serve_in_runtime<M, S>(
    server: InRuntime,
    per_shard: impl Fn(&StackParts) -> M + Send,
    serve: ServeSocket<S>,
) -> Result<Outcome, RunError>
where
    M: Fn(Peer) -> S + Send + 'static,
    S: 'static,
{
    let InRuntime { config: first, plan, listener, hooks, protocol, drain, .. } = server;
    let settings = &first.effective.settings;
    let closed = ClosedConnections::new(1, ProcessPlace::default(), settings.log.connections);
    let slots = ConnectionSlots::of_serving(plan.connections, 1, hooks.on_service_error, closed);
    // Not exported, and every thread of the runtime would write them with each line.
    let stats = Arc::new(Stats::uncounted(Instant::now()));
    let permits = Arc::new(Semaphore::new(settings.limits.concurrency.get() as usize));
    // Not the program's own: a drain may be delayed and spread.
    let (signal, watch) = drain::channel();
    let parts =
        StackParts::new(&first, 1, stats.clone(), permits.clone(), watch, &hooks.ping_words);
    #[cfg(feature = "tls")]
    let parts = parts.start_tls(crate::shard::start_in_the_middle(&first));
    tracing::info!(address = %listener.address(), connections_limit = plan.connections, "serving");
    let timeouts = settings.timeouts.clone();
    let config = Arc::new(watch::channel(first.clone()).0);
    let tasks = Arc::new(ConnectionTasks::default());
    let (stop, stopped) = watch::channel(false);
    let starter = {
        let (tasks, framing) = (tasks.clone(), settings.workload.framing);
        ConnectionStarter::new(parts.clone(), framing, per_shard(&parts), serve, move |task| {
            tasks.add(task);
        })
    };
    let acceptor = Acceptor {
        stats: Arc::new(AcceptStats::new(std::slice::from_ref(&listener))),
        listeners: vec![listener],
        admission: AdmissionControl::new(slots.clone(), settings),
        config: config.subscribe(),
        words: RejectionWords::said_by(protocol.notice),
        dispatch: ToTasks {
            starter,
            steps: StepsByListener::new(&first, Handle::current().metrics().num_workers()),
            config: config.subscribe(),
        },
    };
    #[cfg(feature = "tls")]
    let files = server.files.map(|seen| FilesInRuntime::new(config.clone(), seen));
    let runtimes = Vec::new();
    let (stats, signals) = (vec![stats], vec![signal.clone()]);
    let pool =
        Arc::new(PoolState { config, stats, signals, runtimes, slots: slots.clone(), permits });

    if let Some(drain) = &drain {
        // In a task of its own: connections that outlive this future are drained all the same.
        let (drain, timeouts, signal) = (drain.clone(), timeouts.clone(), signal.clone());
        tokio::spawn(async move { drain_connections(&drain, &timeouts, &stop, &signal).await });
    }
    // Tasks of their own, because they let others run in between; they end with this future.
    let mut beside = JoinSet::new();
    beside.spawn(parts.run_pushes());
    #[cfg(feature = "tls")]
    if let Some(files) = files {
        beside.spawn(files.run());
    }
    let mut in_order = pin!(async {
        acceptor.run(stop_signal(stopped)).await?;
        slots.all_free().await;
        Ok(())
    });
    let deadline = async {
        match &drain {
            Some(drain) => drain.draining().await,
            None => pending().await,
        }
        sleep(timeouts.drain).await;
    };
    let ended = |ended: std::io::Result<()>| match ended {
        Ok(()) => Ok(Outcome::Clean),
        Err(error) => Err(RunError::failed("the listening socket failed", &error)),
    };
    tokio::select! {
        served = &mut in_order => return ended(served),
        () = deadline => {}
        () = parts.run_watchdog() => {}
        () = run_overload_control(pool.clone()) => {}
        () = apply_mitigation(&pool, &parts, &signal) => {}
    }
    tracing::warn!(deadline = ?timeouts.drain, "drain deadline passed");
    let outcome = Outcome::of(unfinished(&pool));
    tasks.cut();
    let _ = timeout(CUT_WAIT_MAX, in_order).await;
    outcome.log();
    Ok(outcome)
}

/// Drains as a server with threads of its own does, when `drain` signals.
async fn drain_connections(
    drain: &Watch,
    timeouts: &Timeouts,
    stop: &watch::Sender<bool>,
    signal: &Signal,
) {
    drain.draining().await;
    if let Some(delay) = timeouts.drain_delay {
        sleep(delay).await;
    }
    stop.send_replace(true);
    drain_in_steps(timeouts, slice::from_ref(signal)).await;
}

/// Completes when accepting must stop; never if there is nothing that could say so.
async fn stop_signal(mut stopped: watch::Receiver<bool>) {
    if stopped.wait_for(|stop| *stop).await.is_err() {
        pending::<()>().await;
    }
}

/// Puts each mitigation of overload in force.
async fn apply_mitigation(pool: &PoolState, parts: &StackParts, signal: &Signal) {
    let mut config = pool.config.subscribe();
    while config.changed().await.is_ok() {
        let deadlines_changed = parts.apply(&config.borrow_and_update());
        if deadlines_changed {
            wake_all(signal.clone()).await;
        }
    }
}

/// Dispatches to tasks of the runtime it runs in.
struct ToTasks<S> {
    starter: Arc<ConnectionStarter<S>>,
    steps: StepsByListener,
    config: watch::Receiver<LiveConfig>,
}

impl<S: 'static> Dispatch for ToTasks<S> {
    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    fn has_room(&self, _shard: usize) -> bool {
        true
    }

    fn dispatch(&mut self, connection: NewConnection) {
        if self.config.has_changed().unwrap_or(false) {
            self.steps.update(&self.config.borrow_and_update());
        }
        let steps = self.steps.get(connection.accepted.listener);
        self.starter.start(connection, steps);
    }
}
