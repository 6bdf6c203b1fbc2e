//! From the acceptor to the queues of the shards.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::sync::mpsc::Sender;

use crate::accept::{Dispatch, NewConnection};

/// Sends new connections to shards through their queues.
///
/// A shard whose thread is blocked by a service that never awaits takes no connections: its queue
/// fills, and from then on connections go to the other shards. The acceptor waits only when every
/// queue is full.
#[derive(Debug)]
pub struct ShardDispatch(Vec<Sender<NewConnection>>);

impl ShardDispatch {
    pub(super) const fn new(queues: Vec<Sender<NewConnection>>) -> Self {
        Self(queues)
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
                .filter(|queue| !queue.is_closed())
                .map(|queue| Box::pin(queue.reserve()))
                .collect();
            poll_fn(|cx| first_ready(&mut waits, cx)).await;
        }
    }

    // Only the acceptor fills the queues, so room that is seen here stays until it is used.
    fn has_room(&self, shard: usize) -> bool {
        let queue = &self.0[shard];
        queue.capacity() > 0 && !queue.is_closed()
    }

    fn dispatch(&mut self, connection: NewConnection) {
        // Fails only when every shard has ended; dropping the connection closes it.
        let _ = self.0[connection.slot.shard()].try_send(connection);
    }
}

/// Ready as soon as one of `waits` is.
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

    fn connection(slots: &Arc<ConnectionSlots>, dispatch: &ShardDispatch) -> NewConnection {
        let socket = std::os::unix::net::UnixStream::pair().expect("a descriptor").0.into();
        let reservation = slots.try_reserve().expect("below the limit");
        let slot = reservation.assign(None, |shard| dispatch.has_room(shard));
        NewConnection { accepted: Accepted { socket, peer: None, listener: 0 }, slot }
    }

    async fn is_ready(dispatch: &mut ShardDispatch) -> bool {
        timeout(Duration::from_millis(1), dispatch.ready()).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_passed_over_and_only_full_queues_everywhere_wait() {
        let slots = ConnectionSlots::new(100, 2);
        let ((blocked, mut blocked_queue), (live, mut live_queue)) =
            (mpsc::channel(2), mpsc::channel(3));
        let mut dispatch = ShardDispatch::new(vec![blocked, live]);
        for expected in [0, 1, 0, 1, 1] {
            assert!(is_ready(&mut dispatch).await);
            let connection = connection(&slots, &dispatch);
            assert_eq!(connection.slot.shard(), expected);
            dispatch.dispatch(connection);
        }
        assert!(!is_ready(&mut dispatch).await, "both are full");
        drop(live_queue.recv().await);
        assert!(is_ready(&mut dispatch).await);
        dispatch.dispatch(connection(&slots, &dispatch));
        assert_eq!((blocked_queue.len(), live_queue.len()), (2, 3));

        // A shard that ends has no room to wait for.
        blocked_queue.close();
        assert!(!is_ready(&mut dispatch).await, "the other is full");
        drop(live_queue.recv().await);
        assert!(is_ready(&mut dispatch).await);
        assert_eq!(connection(&slots, &dispatch).slot.shard(), 1);
        live_queue.close();
        assert!(is_ready(&mut dispatch).await, "without a shard there is nothing to wait for");
        dispatch.dispatch(connection(&slots, &dispatch));
        while blocked_queue.recv().await.is_some() {}
        while live_queue.recv().await.is_some() {}
        assert_eq!(slots.taken(), 0, "connections end with their shard");
    }
}
