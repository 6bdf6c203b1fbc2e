//! From the acceptor to the shards' queues, past those that are full.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::mpsc::Sender;

use crate::accept::{Dispatch, NewConnection};

/// Delivers to shards by their queues.
///
/// A shard whose thread is held by a service that never awaits takes nothing over: its queue fills,
/// and from then on its connections go to the others. The acceptor waits only when all are full.
#[derive(Debug)]
pub struct ShardDispatch(Vec<Sender<NewConnection>>);

impl ShardDispatch {
    pub const fn new(shards: Vec<Sender<NewConnection>>) -> Self {
        Self(shards)
    }

    fn any_has_room(&self) -> bool {
        (0..self.0.len()).any(|shard| self.has_room(shard))
    }
}

impl Dispatch for ShardDispatch {
    async fn ready(&mut self) {
        while !self.any_has_room() && !self.0.iter().all(Sender::is_closed) {
            // Rare, so it may allocate.
            let mut waits: Vec<_> = self
                .0
                .iter()
                .filter(|shard| !shard.is_closed())
                .map(|shard| Box::pin(shard.reserve()))
                .collect();
            poll_fn(|cx| first_ready(&mut waits, cx)).await;
        }
    }

    // Only the acceptor fills the queues, so room that was there is there until it is used.
    fn has_room(&self, shard: usize) -> bool {
        let shard = &self.0[shard];
        shard.capacity() > 0 && !shard.is_closed()
    }

    fn dispatch(&mut self, handover: NewConnection) {
        // Fails when every shard is gone, and then the connection goes with them.
        let _ = self.0[handover.slot.shard()].try_send(handover);
    }
}

/// Ready as soon as one of them is.
fn first_ready<F: Future>(waits: &mut [Pin<Box<F>>], cx: &mut Context<'_>) -> Poll<()> {
    if waits.iter_mut().any(|wait| wait.as_mut().poll(cx).is_ready()) {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use tokio::{sync::mpsc, time::timeout};

    use super::*;
    use crate::accept::{Accepted, ConnectionSlots};

    fn handover(slots: &Arc<ConnectionSlots>, to: &ShardDispatch) -> NewConnection {
        let socket = std::os::unix::net::UnixStream::pair().expect("a descriptor").0.into();
        let place = slots.try_reserve().expect("below the limit");
        let slot = place.place(None, |shard| to.has_room(shard));
        NewConnection { accepted: Accepted { socket, peer: None }, slot }
    }

    async fn is_ready(to: &mut ShardDispatch) -> bool {
        timeout(Duration::from_millis(1), to.ready()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_shard_is_passed_by_and_only_a_full_house_waits() {
        let slots = ConnectionSlots::new(100, 2);
        let ((stuck, mut stuck_inbox), (works, mut inbox)) = (mpsc::channel(2), mpsc::channel(3));
        let mut to = ShardDispatch::new(vec![stuck, works]);
        for expected in [0, 1, 0, 1, 1] {
            assert!(is_ready(&mut to).await);
            let handover = handover(&slots, &to);
            assert_eq!(handover.slot.shard(), expected);
            to.dispatch(handover);
        }
        assert!(!is_ready(&mut to).await, "both are full");
        drop(inbox.recv().await);
        assert!(is_ready(&mut to).await);
        to.dispatch(handover(&slots, &to));
        assert_eq!((stuck_inbox.len(), inbox.len()), (2, 3));

        // Its connections end with a shard, and nobody waits for room in it.
        stuck_inbox.close();
        assert!(!is_ready(&mut to).await, "the other is full");
        drop(inbox.recv().await);
        assert!(is_ready(&mut to).await);
        assert_eq!(handover(&slots, &to).slot.shard(), 1);
        inbox.close();
        assert!(is_ready(&mut to).await, "with nobody left there is nothing to wait for");
        to.dispatch(handover(&slots, &to));
        while stuck_inbox.recv().await.is_some() {}
        while inbox.recv().await.is_some() {}
        assert_eq!(slots.taken(), 0);
    }
}
