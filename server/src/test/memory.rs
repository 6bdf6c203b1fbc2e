//! Connections in memory, served in tasks of the test's own runtime.

use std::{
    net::SocketAddr,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use towline_config::{Effective, Settings, Timeouts};
use towline_middleware::{
    Semaphore,
    drain::{self, Signal},
    internal::{run_close_pacer, run_yield_queue},
    stats::{CloseReason, Stats},
};

use super::pipe::Pipe;
use crate::{
    Outcome, Peer, RunError, Server,
    accept::ConnectionSlots,
    closed::ClosedConnections,
    counts::ProcessPlace,
    hooks::Hooks,
    live_config::LiveConfig,
    server::Staged,
    shard::{PoolState, drain_in_steps},
    stack::StackParts,
};

/// Most connections of a stage whose settings leave that to the host.
const CONNECTIONS_MAX: usize = 1 << 20;

/// Memory for the buffers of a stage whose settings leave that to the host: the same on every host.
const BUFFER_BYTES: u64 = 256 << 20;

/// One shard, without a thread of its own.
pub(super) struct Memory {
    staged: Mutex<Staged>,
    pub(super) pool: Arc<PoolState>,
    timeouts: Timeouts,
    signal: Signal,
    /// Connections, and what runs beside them on a shard.
    tasks: Mutex<JoinSet<()>>,
}

impl Memory {
    /// Makes the stack of `server`, in the runtime of the caller.
    pub(super) fn new(server: Server) -> Result<(Self, &'static [u8]), RunError> {
        let (signal, watch) = drain::channel();
        let stats = Arc::new(Stats::new(Instant::now()));
        let mut made = None;
        let staged = server.stage(|effective, hooks| {
            let live = live_config(effective);
            let settings = &live.effective.settings;
            let permits = Arc::new(Semaphore::new(settings.limits.concurrency.get() as usize));
            let (slots, timeouts) = (slots(settings, hooks), settings.timeouts.clone());
            slots.clients().set_limits(&settings.limits);
            let parts =
                StackParts::new(&live, 1, stats.clone(), permits.clone(), watch, &hooks.ping_words)
                    .throttle(slots.clients().source_rates().clone());
            let pool = PoolState {
                config: Arc::new(watch::channel(live).0),
                stats: vec![stats],
                signals: vec![signal.clone()],
                runtimes: vec![Handle::current()],
                slots,
                permits,
            };
            made = Some((pool, timeouts, parts.timers(&signal), parts.run_pushes()));
            parts
        })?;
        let (pool, timeouts, timers, pushes) = made.expect("a program asks for its stack");
        let mut tasks = JoinSet::new();
        // Without the clock of suspensions: a test may move its clock by any time.
        tasks.spawn(run_yield_queue());
        tasks.spawn(run_close_pacer());
        tasks.spawn(timers.run());
        tasks.spawn(pushes);
        let end_of_line = staged.end_of_line;
        let (staged, tasks) = (Mutex::new(staged), Mutex::new(tasks));
        Ok((Self { staged, pool: Arc::new(pool), timeouts, signal, tasks }, end_of_line))
    }

    /// Serves the connection of `pipe`, which reports why it ended.
    ///
    /// # Panics
    /// At `limits.connections`.
    pub(super) fn serve(&self, pipe: &Pipe, peer: SocketAddr) -> oneshot::Receiver<CloseReason> {
        let slots = &self.pool.slots;
        let Some(slot) = slots.try_reserve() else {
            panic!("limits.connections = {}: as many clients are connected", slots.limit());
        };
        let slot = slot.assign(None, |_| true);
        let (report, reason) = oneshot::channel();
        let mut report = Report(Some(report));
        let stream = Box::new(pipe.server_end());
        let staged = self.staged.lock().unwrap_or_else(PoisonError::into_inner);
        // As on a shard: a panic in there closes this connection alone.
        let serve = || (staged.serve)(Peer::new(Some(peer)), stream);
        let Ok(ended) = panic::catch_unwind(AssertUnwindSafe(serve)) else {
            report.send(CloseReason::ServicePanic);
            return reason;
        };
        drop(staged);
        let pipe = pipe.clone();
        let mut tasks = self.tasks();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let reason = ended.await.unwrap_or_else(|error| {
                pipe.state().record.event(&format!("the service failed: {error}"));
                if let Some(hook) = slot.on_service_error() {
                    hook.call(Some(Peer::new(Some(peer))), &error);
                }
                CloseReason::ServiceError
            });
            report.send(reason);
            drop(slot);
        });
        reason
    }

    /// Drains as a server does.
    pub(super) async fn drain(&self) -> Outcome {
        if let Some(delay) = self.timeouts.drain_delay {
            sleep(delay).await;
        }
        let in_order = async {
            drain_in_steps(&self.timeouts, std::slice::from_ref(&self.signal)).await;
            self.pool.slots.all_free().await;
        };
        let in_time = timeout(self.timeouts.drain, in_order).await;
        let lingering = self.stats().lingering.get().max(0) as u64;
        let open = (self.pool.slots.connections() as u64).saturating_sub(lingering);
        self.tasks().abort_all();
        Outcome::of(if in_time.is_ok() { 0 } else { open })
    }

    /// What its connections count.
    pub(super) fn stats(&self) -> &Stats {
        &self.pool.stats[0]
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn live_config(effective: &Effective) -> LiveConfig {
    let mut live = LiveConfig::first(effective.clone());
    if effective.settings.limits.buffer_bytes.is_none() {
        live.buffer_limit_bytes = BUFFER_BYTES;
    }
    live
}

fn slots(settings: &Settings, hooks: &Hooks) -> Arc<ConnectionSlots> {
    let limit = settings.limits.connections.map_or(CONNECTIONS_MAX, |limit| limit.get() as usize);
    let closed = ClosedConnections::new(1, ProcessPlace::default(), settings.log.connections);
    ConnectionSlots::of_serving(limit, 1, hooks.on_service_error.clone(), closed)
}

/// Tells a client why its connection ended, also when its task panics or is cut.
struct Report(Option<oneshot::Sender<CloseReason>>);

impl Report {
    fn send(&mut self, reason: CloseReason) {
        if let Some(report) = self.0.take() {
            // The client may be gone.
            let _ = report.send(reason);
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let panics = thread::panicking();
        self.send(if panics { CloseReason::ServicePanic } else { CloseReason::Shutdown });
    }
}
