//! The accept loop: reserve a slot, accept, assign the connection to the least loaded shard.

use std::{
    future::Future,
    io,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use tokio::sync::watch::Receiver;

use super::{
    AcceptStats, Dispatch, NewConnection,
    admission::{AdmissionControl, Admitted},
    listen::Listener,
    listener_limits::{ListenerLimits, with_guard},
    listener_set::ListenerSet,
    reject::RejectionWords,
    retry::{AcceptRetry, Attempt},
};
use crate::live_config::LiveConfig;

/// Connections accepted before the other tasks of the thread are polled.
const ACCEPTS_PER_POLL: usize = 64;

/// Accepts connections and dispatches each with its slot.
#[derive(Debug)]
pub struct Acceptor<D> {
    /// Every listening socket.
    pub listeners: Vec<Listener>,
    /// The limits that a new connection meets.
    pub admission: AdmissionControl,
    /// The configuration in force; its limits apply to the next connection.
    pub config: Receiver<LiveConfig>,
    /// What is counted here.
    pub stats: Arc<AcceptStats>,
    /// What rejected clients are sent.
    pub words: RejectionWords,
    /// Where accepted connections go.
    pub dispatch: D,
}

impl<D: Dispatch> Acceptor<D> {
    /// Accepts until `stop` completes, then ends the connections in the kernel's accept queue.
    ///
    /// # Errors
    /// When the listening socket fails.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listeners, admission, config, stats, words, dispatch } = self;
        let listener_limits =
            ListenerLimits::new(&config.borrow().effective.settings.server.listen);
        let retry = AcceptRetry::new(stats.clone(), words);
        let listeners = ListenerSet::register(listeners)?;
        let mut accept_loop =
            AcceptLoop { listeners, listener_limits, admission, config, retry, stats, dispatch };
        tokio::select! {
            biased;
            () = stop => {}
            failed = accept_loop.run() => return Err(failed),
        }
        accept_loop.drain_queues().await
    }
}

#[derive(Debug)]
struct AcceptLoop<D> {
    listeners: ListenerSet,
    listener_limits: ListenerLimits,
    admission: AdmissionControl,
    config: Receiver<LiveConfig>,
    retry: AcceptRetry,
    stats: Arc<AcceptStats>,
    dispatch: D,
}

impl<D: Dispatch> AcceptLoop<D> {
    /// Accepts until the listening socket fails.
    async fn run(&mut self) -> io::Error {
        let Self { listeners, listener_limits, admission, config, retry, stats, dispatch } = self;
        let mut accepts = 0_usize;
        loop {
            let next = async {
                let reserved = admission.reserve().await;
                dispatch.ready().await;
                (reserved, retry.next(listeners).await)
            };
            let (reserved, accepted) = tokio::select! {
                biased;
                // First, because new limits can change what the loop has to wait for.
                Ok(()) = config.changed() => {
                    let config = config.borrow_and_update();
                    admission.set_limits(&config.effective.settings);
                    admission.set_memory_short(config.mitigation.refuses);
                    continue;
                }
                next = next => next,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => return error,
            };
            let counts = stats.of_listener(accepted.listener);
            let admitted = listener_limits
                .acquire(accepted.listener)
                .and_then(|guard| Ok((admission.admit(&accepted, reserved)?, guard)));
            match admitted {
                Ok((Admitted { slot, tag }, guard)) => {
                    counts.accepted.fetch_add(1, Relaxed);
                    let tag = with_guard(tag, guard);
                    let slot = slot.assign(tag, |shard| dispatch.has_room(shard));
                    dispatch.dispatch(NewConnection { accepted, slot });
                }
                Err(why) => {
                    counts.rejected.fetch_add(1, Relaxed);
                    retry.rejector.reject(accepted, why);
                }
            }
            accepts += 1;
            if accepts.is_multiple_of(ACCEPTS_PER_POLL) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Accepts and ends the connections that wait in the kernel's accept queues, because closing the
    /// listening sockets would reset them. None is served, so none needs a slot or a shard: a full
    /// server ends them as fast as an empty one. The queue of a socket that a service manager keeps
    /// is left to the next server.
    async fn drain_queues(mut self) -> io::Result<()> {
        let mut ended = 0_u64;
        for listener in self.listeners.take() {
            ended += self.drain_queue(listener.get_ref()).await?;
        }
        if ended > 0 {
            tracing::info!(connections = ended, "ended the connections in the accept queue");
        }
        self.retry.rejector.all_closed().await;
        Ok(())
    }

    /// Returns how many connections it ended.
    async fn drain_queue(&mut self, listener: &Listener) -> io::Result<u64> {
        let mut ended = 0;
        // Bounded by the queue's length at this moment; later connections are not accepted.
        for accepts in 1..=listener.unaccepted_max() {
            match self.retry.attempt(listener) {
                Attempt::Accepted(accepted) => {
                    self.retry.rejector.end(accepted);
                    ended += 1;
                }
                Attempt::Rejected => {}
                Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Attempt::Failed(error) => self.retry.back_off(error).await?,
            }
            if accepts.is_multiple_of(ACCEPTS_PER_POLL as u32) {
                tokio::task::yield_now().await;
            }
        }
        Ok(ended)
    }
}
