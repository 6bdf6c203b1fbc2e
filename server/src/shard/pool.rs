//! The shards of one process: started together, drained together.

use std::{future::Future, sync::Arc, thread};

use tokio::{sync::watch, time::Instant};
use towline_config::Timeouts;
use towline_middleware::{
    Semaphore, drain,
    stats::{Clock, Stats},
};

use super::{
    Peer, PoolState, ServeSocket, ShardDispatch,
    drain::{drain_in_steps, unfinished},
    event_loop::Shard,
    scheduling_probe::OneShard,
    threads,
};
use crate::{
    RunError,
    accept::ConnectionSlots,
    closed::ClosedConnections,
    counts::{ProcessPlace, monotonic_nanos},
    hooks::Hooks,
    live_config::LiveConfig,
    plan::ProcessPlan,
    stack::StackParts,
};

/// The threads that serve lines, and the signals that end them.
///
/// Dropping it cuts every connection and ends the threads, without waiting.
#[derive(Debug)]
pub struct ShardPool {
    state: Arc<PoolState>,
    cut: watch::Sender<bool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl ShardPool {
    /// Starts the shards of one process of the plan, which has `place` among all processes. Returns them and
    /// the way to send them connections.
    ///
    /// `per_shard` is called once for each shard and returns what makes the line stack of each
    /// connection there, which is then served by `serve`. `hooks` has what settings do not say.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start<M, S>(
        config: &Arc<watch::Sender<LiveConfig>>,
        plan: &ProcessPlan,
        place: ProcessPlace,
        per_shard: impl Fn(&StackParts) -> M,
        serve: ServeSocket<S>,
        hooks: &Hooks,
    ) -> Result<(Self, ShardDispatch), RunError>
    where
        M: Fn(Peer) -> S + Send + 'static,
        S: 'static,
    {
        let first = config.borrow().clone();
        let settings = &first.effective.settings;
        let clock = Clock::read_by(Instant::now(), monotonic_nanos);
        let hook = hooks.on_service_error.clone();
        let closed = ClosedConnections::new(plan.threads, place, settings.log.connections);
        let slots = ConnectionSlots::of_serving(plan.connections, plan.threads, hook, closed);
        slots.clients().set_limits(&settings.limits);
        let permits = Arc::new(Semaphore::new(settings.limits.concurrency.get() as usize));
        let (cut, _) = watch::channel(false);
        let (mut signals, mut stats, mut shards) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..plan.threads {
            let (signal, watch) = drain::channel();
            signal.number_from(place.first_serial());
            let shard_stats = Arc::new(Stats::of_one_thread(clock));
            let parts = StackParts::new(
                &first,
                plan.threads,
                shard_stats.clone(),
                permits.clone(),
                watch,
                &hooks.ping_words,
            )
            .throttle(slots.clients().source_rates().clone());
            #[cfg(feature = "tls")]
            let parts = parts.start_tls(super::start_in_the_middle(&first));
            let make_stack = per_shard(&parts);
            let (config, cut) = (config.subscribe(), cut.subscribe());
            let slots = OneShard { slots: slots.clone(), shard: index };
            let shard = Shard::start(slots, config, signal.clone(), parts, make_stack, serve, cut)
                .map_err(|error| RunError::failed("a shard's thread cannot be started", &error))?;
            signals.push(signal);
            stats.push(shard_stats);
            shards.push(shard);
        }
        let state = Arc::new(PoolState {
            config: config.clone(),
            stats,
            signals,
            runtimes: shards.iter().map(|shard| shard.runtime.clone()).collect(),
            slots,
            permits,
        });
        let (threads, queues) =
            shards.into_iter().map(|shard| (shard.thread, shard.new_connections)).unzip();
        Ok((Self { state, cut, threads }, ShardDispatch::new(queues)))
    }

    /// Waits until remaining connections are cut, which ends the server.
    pub fn until_cut(&self) -> impl Future<Output = ()> + use<> {
        let mut cut = self.cut.subscribe();
        async move {
            let _ = cut.wait_for(|cut| *cut).await;
        }
    }

    /// What the shards share.
    pub fn state(&self) -> &Arc<PoolState> {
        &self.state
    }

    /// Signals connections to finish what they have read and close, over `timeouts.drain_spread`.
    pub async fn drain_connections(&self, timeouts: &Timeouts) {
        drain_in_steps(timeouts, &self.state.signals).await;
    }

    /// Waits until no connection is open or on its way to a shard.
    pub async fn all_closed(&self) {
        self.state.slots.all_free().await;
    }

    /// Cuts remaining connections, ends the threads, and returns how many connections were cut.
    pub async fn shut_down(self) -> u64 {
        let cut = unfinished(&self.state);
        self.cut.send_replace(true);
        threads::end(&self.threads).await;
        cut
    }
}
