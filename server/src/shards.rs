//! The shards of one process, whoever feeds them: started together, drained together.

use std::{future::Future, sync::Arc, thread, time::Duration};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use towline_middleware::{drain, stats::Stats};

use crate::{
    Outcome, RunError,
    permits::Permits,
    plan::Plan,
    shard::{Peer, Shard},
    shared::{Now, Shared},
    slots::Slots,
    stack::{LineService, Parts},
    to_shards::ToShards,
};

/// How long threads may take to end after everything was told to. One that doesn't is running a
/// service that never awaits; the process ends without it.
const THREADS_END: Duration = Duration::from_secs(1);

/// Threads that serve lines, and what is needed to end them.
///
/// Dropping it cuts every connection and ends them, without waiting; [`drain`](Self::drain) lets
/// connections finish first.
#[derive(Debug)]
pub(crate) struct Shards {
    shared: Arc<Shared>,
    drains: Vec<drain::Signal>,
    over: watch::Sender<bool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Shards {
    /// Starts the threads of one process of the plan, and tells how to feed them.
    ///
    /// `lines` is asked once a shard for what makes the line stack of each peer there.
    pub(crate) fn start<P, S>(
        now: &Arc<watch::Sender<Now>>,
        plan: &Plan,
        lines: impl Fn(&Parts) -> P,
    ) -> Result<(Self, ToShards), RunError>
    where
        P: Fn(Peer) -> S + Send + 'static,
        S: LineService,
    {
        let effective = now.borrow().effective.clone();
        let settings = &effective.settings;
        let epoch = Instant::now();
        let slots = Slots::new(plan.connections, plan.threads);
        let permits = Permits::new(settings.limits.concurrency.get() as usize);
        let (over, _) = watch::channel(false);
        let mut drains = Vec::new();
        let mut stats = Vec::new();
        let mut started = Vec::new();
        for index in 0..plan.threads {
            let (signal, watch) = drain::channel();
            let shard_stats = Arc::new(Stats::of_one_thread(epoch));
            let parts = Parts::new(settings, shard_stats.clone(), permits.semaphore(), watch);
            let lines = lines(&parts);
            let (now, over) = (now.subscribe(), over.subscribe());
            let shard = Shard::start(index, now, signal.clone(), parts, lines, over)
                .map_err(|error| RunError::failed("a shard's thread cannot be started", &error))?;
            drains.push(signal);
            stats.push(shard_stats);
            started.push(shard);
        }
        let shared = Arc::new(Shared {
            now: now.clone(),
            stats,
            runtimes: started.iter().map(|shard| shard.runtime.clone()).collect(),
            slots,
            permits,
        });
        let (threads, handovers) =
            started.into_iter().map(|shard| (shard.thread, shard.handovers)).unzip();
        Ok((Self { shared, drains, over, threads }, ToShards::new(handovers)))
    }

    /// Waits until what is left is cut.
    pub(crate) fn over(&self) -> impl Future<Output = ()> + use<> {
        let mut over = self.over.subscribe();
        async move {
            let _ = over.wait_for(|over| *over).await;
        }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Has connections finish what was taken, and cuts what is left at the deadline
    /// `timeouts.drain`, or at once when `cut` says so. Nothing is fed any more once `fed` is over.
    pub(crate) async fn drain(
        self,
        fed: impl Future<Output = ()>,
        cut: impl Future<Output = ()>,
    ) -> Outcome {
        let Self { shared, drains, over, threads } = self;
        for signal in &drains {
            signal.drain();
        }
        let deadline = shared.now.borrow().effective.settings.timeouts.drain;
        let finished = async {
            fed.await;
            shared.slots.all_free().await;
        };
        tokio::select! {
            () = finished => {}
            () = sleep(deadline) => tracing::warn!(?deadline, "drain deadline passed"),
            () = cut => {}
        }
        let cut = shared.slots.connections() as u64;
        over.send_replace(true);
        all_finished(&threads).await;
        if cut == 0 { Outcome::Clean } else { Outcome::Cut(cut) }
    }
}

/// Waits until threads that were told to end have ended, or long enough.
pub(crate) async fn all_finished(threads: &[thread::JoinHandle<()>]) {
    let deadline = Instant::now() + THREADS_END;
    while threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < deadline {
        sleep(Duration::from_millis(1)).await;
    }
}
