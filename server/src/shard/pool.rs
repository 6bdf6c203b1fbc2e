//! The shards of one process, whoever feeds them: started together, drained together.

use std::{future::Future, sync::Arc, thread};

use rustix::time::{ClockId, clock_gettime};
use tokio::{sync::watch, time::Instant};
use towline_config::Timeouts;
use towline_middleware::{
    Semaphore, drain,
    stats::{Clock, Stats},
};

use super::{Peer, PoolState, ShardDispatch, drain as draining, event_loop::Shard, threads};
use crate::{
    RunError,
    accept::ConnectionSlots,
    live_config::LiveConfig,
    plan::Plan,
    stack::{LineService, StackParts},
};

/// Threads that serve lines, and what is needed to end them.
///
/// Dropping it cuts every connection and ends them, without waiting.
#[derive(Debug)]
pub struct ShardPool {
    shared: Arc<PoolState>,
    drains: Vec<drain::Signal>,
    over: watch::Sender<bool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl ShardPool {
    /// Starts the threads of one process of the plan, and tells how to feed them.
    ///
    /// `lines` is asked once a shard for what makes the line stack of each peer there.
    pub fn start<P, S>(
        config: &Arc<watch::Sender<LiveConfig>>,
        plan: &Plan,
        lines: impl Fn(&StackParts) -> P,
    ) -> Result<(Self, ShardDispatch), RunError>
    where
        P: Fn(Peer) -> S + Send + 'static,
        S: LineService,
    {
        let first = config.borrow().clone();
        let settings = &first.effective.settings;
        let clock = Clock::read_by(Instant::now(), monotonic_nanos);
        let slots = ConnectionSlots::new(plan.connections, plan.threads);
        let permits = Arc::new(Semaphore::new(settings.limits.concurrency.get() as usize));
        let (over, _) = watch::channel(false);
        let mut drains = Vec::new();
        let mut stats = Vec::new();
        let mut started = Vec::new();
        for index in 0..plan.threads {
            let (signal, watch) = drain::channel();
            let shard_stats = Arc::new(Stats::of_one_thread(clock));
            let parts =
                StackParts::new(&first, plan.threads, shard_stats.clone(), permits.clone(), watch);
            let lines = lines(&parts);
            let (config, over) = (config.subscribe(), over.subscribe());
            let shard = Shard::start(index, config, signal.clone(), parts, lines, over)
                .map_err(|error| RunError::failed("a shard's thread cannot be started", &error))?;
            drains.push(signal);
            stats.push(shard_stats);
            started.push(shard);
        }
        let shared = Arc::new(PoolState {
            config: config.clone(),
            stats,
            runtimes: started.iter().map(|shard| shard.runtime.clone()).collect(),
            slots,
            permits,
        });
        let (threads, handovers) =
            started.into_iter().map(|shard| (shard.thread, shard.handovers)).unzip();
        Ok((Self { shared, drains, over, threads }, ShardDispatch::new(handovers)))
    }

    /// Waits until what is left is cut.
    pub fn over(&self) -> impl Future<Output = ()> + use<> {
        let mut over = self.over.subscribe();
        async move {
            let _ = over.wait_for(|over| *over).await;
        }
    }

    pub fn shared(&self) -> &Arc<PoolState> {
        &self.shared
    }

    /// Has connections finish what was taken, and go.
    pub async fn drain_connections(&self, timeouts: &Timeouts) {
        draining::drain_connections(timeouts, &self.drains).await;
    }

    /// Waits until no connection is left, or on its way here.
    pub async fn all_closed(&self) {
        self.shared.slots.all_free().await;
    }

    /// Cuts what is left, ends the threads, and returns how many connections were cut.
    pub async fn end(self) -> u64 {
        let cut = draining::unfinished(&self.shared);
        self.over.send_replace(true);
        threads::end(&self.threads).await;
        cut
    }
}

/// The clock behind tokio's, which is the standard library's: CLOCK_MONOTONIC of clock_gettime(2).
fn monotonic_nanos() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
