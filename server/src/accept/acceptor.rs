//! The acceptor: a place first, then a connection, then the shard that has the fewest and has room.

use std::{future::Future, io, sync::Arc};

use tokio::sync::watch::Receiver;

use super::{
    AcceptStats, Deliver, Handover,
    admission::{Admitted, Gate},
    listen::Listener,
    queues::Queues,
    retry::{Attempt, Door},
};
use crate::live_config::Now;

/// Most connections accepted before the thread's other duties get their turn.
const ACCEPTS_PER_TURN: usize = 64;

/// Accepts connections and delivers each with its place.
#[derive(Debug)]
pub struct Acceptor<D> {
    /// One, or several of one port.
    pub listeners: Vec<Listener>,
    pub gate: Gate,
    pub now: Receiver<Now>,
    pub stats: Arc<AcceptStats>,
    pub deliver: D,
}

impl<D: Deliver> Acceptor<D> {
    /// Runs until `stop`, and then until nobody waits in the kernel's queue; fails only when the
    /// listening socket does.
    pub async fn run(self, stop: impl Future<Output = ()>) -> io::Result<()> {
        let Self { listeners, gate, now, stats, deliver } = self;
        let queues = Queues::watch(listeners)?;
        let mut accepting = Accepting { queues, gate, now, door: Door::new(stats), deliver };
        tokio::select! {
            biased;
            () = stop => {}
            failed = accepting.accept_for_ever() => return Err(failed),
        }
        accepting.empty_queues().await
    }
}

/// An acceptor at work.
#[derive(Debug)]
struct Accepting<D> {
    queues: Queues,
    gate: Gate,
    now: Receiver<Now>,
    door: Door,
    deliver: D,
}

impl<D: Deliver> Accepting<D> {
    async fn accept_for_ever(&mut self) -> io::Error {
        let Self { queues, gate, now, door, deliver } = self;
        let mut turn = 0_usize;
        loop {
            let next = async {
                let reserved = gate.open().await;
                deliver.ready().await;
                (reserved, door.next(queues).await)
            };
            let (reserved, accepted) = tokio::select! {
                biased;
                // Whatever it waits for may not be what it should wait for any more.
                Ok(()) = now.changed() => {
                    let now = now.borrow_and_update();
                    gate.take_over(&now.effective.settings.limits);
                    gate.memory_is_short(now.relief.refuses);
                    continue;
                }
                next = next => next,
            };
            let accepted = match accepted {
                Ok(accepted) => accepted,
                Err(error) => return error,
            };
            match gate.admit(accepted.peer, reserved) {
                Ok(Admitted { place, mark }) => {
                    let slot = place.place(mark, |shard| deliver.has_room(shard));
                    deliver.deliver(Handover { accepted, slot });
                }
                Err(why) => door.refuser.refuse(accepted, why),
            }
            turn += 1;
            if turn.is_multiple_of(ACCEPTS_PER_TURN) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Takes those over that wait in the kernel's queues: it would reset them when the sockets are
    /// closed. Their shards, which are draining, let each go in order. They need places, which those
    /// before them free as they go; the drain's deadline bounds the wait. Where a service manager keeps
    /// the socket they stay in it, for who comes next.
    async fn empty_queues(mut self) -> io::Result<()> {
        self.gate.keep_nobody_out();
        for queue in std::mem::take(&mut self.queues.all) {
            self.empty(queue.get_ref()).await?;
        }
        Ok(())
    }

    async fn empty(&mut self, listener: &Listener) -> io::Result<()> {
        // As many as there can have been: who comes later was not promised anything.
        for turn in 1..=listener.would_reset() {
            let Some(place) = self.gate.open().await else { break };
            self.deliver.ready().await;
            match self.door.attempt(listener) {
                Attempt::Accepted(accepted) => {
                    let slot = place.place(None, |shard| self.deliver.has_room(shard));
                    self.deliver.deliver(Handover { accepted, slot });
                }
                Attempt::Refused => {}
                Attempt::Failed(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Attempt::Failed(error) => self.door.endure(error).await?,
            }
            if turn.is_multiple_of(ACCEPTS_PER_TURN as u32) {
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}
