//! The acceptor: a slot first, then a connection, then the shard that has the fewest and has room.

use std::{future::Future, io, sync::Arc};

use tokio::sync::watch::Receiver;

use super::{
    AcceptStats, Dispatch, NewConnection,
    admission::{AdmissionControl, Admitted},
    listen::Listener,
    listener_set::ListenerSet,
    retry::{AcceptRetry, Attempt},
};
use crate::live_config::LiveConfig;

/// Most connections accepted before the thread's other duties get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Accepts connections and delivers each with its slot.
#[derive(Debug)]
pub struct Acceptor<D> {
    /// One, or several of one port.
    pub listeners: Vec<Listener>,
    pub admission: AdmissionControl,
    pub config: Receiver<LiveConfig>,
    pub stats: Arc<AcceptStats>,
    pub dispatch: D,
}

impl<D: Dispatch> Acceptor<D> {
    /// Runs until `stop`, and then until nobody waits in the kernel's queue; fails only when the
    /// listening socket does.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listeners, admission, config, stats, dispatch } = self;
        let listeners = ListenerSet::watch(listeners)?;
        let mut accept_loop =
            AcceptLoop { listeners, admission, config, retry: AcceptRetry::new(stats), dispatch };
        tokio::select! {
            biased;
            () = stop => {}
            failed = accept_loop.run() => return Err(failed),
        }
        accept_loop.drain_queues().await
    }
}

/// An acceptor at work.
#[derive(Debug)]
struct AcceptLoop<D> {
    listeners: ListenerSet,
    admission: AdmissionControl,
    config: Receiver<LiveConfig>,
    retry: AcceptRetry,
    dispatch: D,
}

impl<D: Dispatch> AcceptLoop<D> {
    async fn run(&mut self) -> io::Error {
        let Self { listeners, admission, config, retry, dispatch } = self;
        let mut turn = 0_usize;
        loop {
            let next = async {
                let reserved = admission.acquire().await;
                dispatch.ready().await;
                (reserved, retry.next(listeners).await)
            };
            let (reserved, accepted) = tokio::select! {
                biased;
                // Whatever it waits for may not be what it should wait for any more.
                Ok(()) = config.changed() => {
                    let config = config.borrow_and_update();
                    admission.apply(&config.effective.settings.limits);
                    admission.set_memory_short(config.mitigation.refuses);
                    continue;
                }
                next = next => next,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => return error,
            };
            match admission.admit(accepted.peer, reserved) {
                Ok(Admitted { slot, tag }) => {
                    let slot = slot.place(tag, |shard| dispatch.has_room(shard));
                    dispatch.dispatch(NewConnection { accepted, slot });
                }
                Err(why) => retry.rejector.reject(accepted, why),
            }
            turn += 1;
            if turn.is_multiple_of(ACCEPTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes those over that wait in the kernel's listeners: it would reset them when the sockets are
    /// closed. Their shards, which are draining, let each go in order. They need places, which those
    /// before them free as they go; the drain's deadline bounds the wait. Where a service manager keeps
    /// the socket they stay in it, for who comes next.
    async fn drain_queues(mut self) -> io::Result<()> {
        self.admission.lift_limits();
        for queue in std::mem::take(&mut self.listeners.all) {
            self.drain_queue(queue.get_ref()).await?;
        }
        Ok(())
    }

    async fn drain_queue(&mut self, listener: &Listener) -> io::Result<()> {
        // As many as there can have been: who comes later was not promised anything.
        for turn in 1..=listener.waiting_max() {
            let Some(slot) = self.admission.acquire().await else { break };
            self.dispatch.ready().await;
            match self.retry.attempt(listener) {
                Attempt::Accepted(accepted) => {
                    let slot = slot.place(None, |shard| self.dispatch.has_room(shard));
                    self.dispatch.dispatch(NewConnection { accepted, slot });
                }
                Attempt::Refused => {}
                Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Attempt::Failed(error) => self.retry.back_off(error).await?,
            }
            if turn.is_multiple_of(ACCEPTS_PER_TURN as u32) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}
