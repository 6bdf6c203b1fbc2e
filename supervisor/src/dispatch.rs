//! From the acceptor to the workers, past those that are full, stopped or dead.

use std::sync::Arc;

use crate::pool::WorkerPool;
use towline::internal::{ConnectionSlots, Dispatch, NewConnection};

/// Delivers to processes by their channels.
///
/// A process that is stopped, or busy beyond measure, takes nothing: what is on its way to it grows
/// to what may be on its way, and from then on connections go to the others. The acceptor waits only when
/// none has room.
#[derive(Debug)]
pub(crate) struct WorkerDispatch {
    pub(crate) pool: Arc<WorkerPool>,
    /// The places of connections, as many shards as there are processes.
    pub(crate) slots: Arc<ConnectionSlots>,
}

impl Dispatch for WorkerDispatch {
    async fn ready(&mut self) {
        loop {
            // Registered before the look, so that room made in between is not missed.
            let room = self.pool.room();
            if (0..self.pool.slots()).any(|index| self.has_room(index)) {
                return;
            }
            room.await;
        }
    }

    fn has_room(&self, shard: usize) -> bool {
        self.pool.has_room(shard)
    }

    fn dispatch(&mut self, mut handover: NewConnection) {
        // Each that does not take it has no room from then on.
        for _ in 0..=self.pool.slots() {
            let index = handover.slot.shard();
            let Err((error, NewConnection { accepted, slot })) =
                self.pool.hand_over(index, handover)
            else {
                return;
            };
            tracing::debug!(process = index, %error, "connection not taken over");
            let Some(next) = (0..self.pool.slots()).find(|index| self.has_room(*index)) else {
                return self.pool.lose(index);
            };
            handover = NewConnection { accepted, slot: self.slots.reassign(slot, next) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, time::Duration};

    use tokio::time::timeout;

    use super::*;
    use crate::{
        channel::{self, Channel},
        message::{Ack, ToWorker},
        worker_slot::IN_FLIGHT_MAX,
    };
    use towline::internal::{Accepted, ConnectionTag, PerAddress};

    struct Fixture {
        slots: Arc<ConnectionSlots>,
        dispatch: WorkerDispatch,
        per_address: Arc<PerAddress>,
    }

    impl Fixture {
        fn of(slots: usize, connections_max: usize) -> Self {
            let pool = Arc::new(WorkerPool::new(slots, connections_max, 1));
            let slots = ConnectionSlots::new(1000, slots);
            let dispatch = WorkerDispatch { pool, slots: slots.clone() };
            Self { slots, dispatch, per_address: PerAddress::new(Some(1)) }
        }

        fn pool(&self) -> &WorkerPool {
            &self.dispatch.pool
        }

        /// The other end of a process's channel.
        fn process(&self, index: usize) -> Channel {
            let (ours, theirs) = channel::pair().expect("descriptors");
            let [ours, theirs] = [ours, theirs].map(|end| Channel::new(end).expect("a runtime"));
            self.pool().open(index, Arc::new(ours));
            theirs
        }

        async fn is_ready(&mut self) -> bool {
            timeout(Duration::from_millis(1), self.dispatch.ready()).await.is_ok()
        }

        /// Delivers one connection, and tells to whom.
        fn dispatch(&mut self, peer: Option<&str>) -> usize {
            let peer = peer.map(|peer| peer.parse().expect("an address"));
            let tag = self.per_address.acquire(peer).expect("the first from there");
            let tag = tag.map(|tag| Box::new(tag) as ConnectionTag);
            let place = self.slots.try_reserve().expect("below the limit");
            let slot = place.assign(tag, |index| self.dispatch.has_room(index));
            let index = slot.shard();
            let socket = UnixStream::pair().expect("descriptors").0.into();
            self.dispatch.dispatch(NewConnection { accepted: Accepted { socket, peer }, slot });
            index
        }
    }

    fn ack(taken: u64, ended_untagged: u64, tags: &[u32]) -> Ack {
        Ack { taken, ended_untagged, tags: tags.to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_go_to_the_process_that_has_the_fewest_and_takes_them() {
        let mut fixture = Fixture::of(2, 3);
        assert!(!fixture.is_ready().await, "there is no process yet");
        let _first = fixture.process(0);
        let second = fixture.process(1);
        assert!(fixture.is_ready().await);
        assert_eq!([0; 4].map(|_| fixture.dispatch(None)), [0, 1, 0, 1]);
        fixture.pool().rest(0);
        assert_eq!(fixture.dispatch(None), 1);
        assert!(!fixture.is_ready().await, "one rests and the other is full");
        fixture.pool().ack(1, &ack(3, 2, &[]));
        assert!(fixture.is_ready().await);
        assert_eq!(fixture.slots.connections(), 3);
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_takes_nothing_is_passed_by() {
        let mut fixture = Fixture::of(1, 1000);
        let _stopped = fixture.process(0);
        for _ in 0..IN_FLIGHT_MAX {
            assert!(fixture.is_ready().await);
            fixture.dispatch(None);
        }
        assert!(!fixture.is_ready().await);
        fixture.pool().ack(0, &ack(1, 0, &[]));
        assert!(fixture.is_ready().await);
    }

    #[tokio::test]
    async fn marks_name_the_connections_that_end() {
        let mut fixture = Fixture::of(1, 10);
        let process = fixture.process(0);
        let mut buffer = channel::buffer();
        let mut tags = Vec::new();
        for peer in [Some("10.0.0.1:1"), None, Some("10.0.0.2:1")] {
            fixture.dispatch(peer);
            let arrived = process.receive(&mut buffer).await.expect("no error").expect("a message");
            assert!(arrived.socket.is_some());
            let Some(ToWorker::ConnectionMsg(message)) = ToWorker::read(&buffer[..arrived.length])
            else {
                panic!("it is a connection")
            };
            assert_eq!(message.peer, peer.map(|peer| peer.parse().expect("an address")));
            tags.extend(message.tag);
        }
        assert_eq!(tags.len(), 2);
        assert!(fixture.per_address.acquire("10.0.0.2:9".parse().ok()).is_err(), "it has one open");
        fixture.pool().ack(0, &ack(3, 0, &tags[1..]));
        assert!(fixture.per_address.acquire("10.0.0.2:9".parse().ok()).is_ok(), "it ended");
        assert!(fixture.per_address.acquire("10.0.0.1:9".parse().ok()).is_err(), "it has one open");
        assert_eq!(fixture.slots.connections(), 2);
    }

    #[tokio::test]
    async fn a_process_that_is_gone_gives_all_its_places_back() {
        let mut fixture = Fixture::of(2, 10);
        let (gone, _stays) = (fixture.process(0), fixture.process(1));
        for peer in [Some("10.0.0.1:1"), None, None, None] {
            fixture.dispatch(peer);
        }
        drop(gone);
        assert_eq!(fixture.pool().close(0), 2);
        assert_eq!(fixture.slots.connections(), 2);
        assert!(fixture.per_address.acquire("10.0.0.1:2".parse().ok()).is_ok());
        assert_eq!([0; 3].map(|_| fixture.dispatch(None)), [1; 3], "nobody is at the other place");
        assert_eq!(fixture.pool().total().counted.accepted, 2, "what was message over and lost");
    }

    /// A process that died a moment ago took those connections along that were message to it before its
    /// end was heard of: it had the fewest, so that was everybody who came.
    #[tokio::test]
    async fn what_a_dead_process_does_not_take_goes_to_another() {
        let mut fixture = Fixture::of(3, 10);
        let (dies, lives) = (fixture.process(0), fixture.process(1));
        assert_eq!([0; 2].map(|_| fixture.dispatch(None)), [0, 1]);
        drop(dies);
        let tagged = ["10.0.0.1:1", "10.0.0.2:1"].map(|peer| fixture.dispatch(Some(peer)));
        assert_eq!(tagged, [0, 1], "it has the fewest, and then no room");
        assert_eq!((fixture.slots.by_shard(0), fixture.slots.by_shard(1)), (1, 3));
        assert_eq!(fixture.pool().close(0), 1);
        drop(lives);
        fixture.dispatch(None);
        assert_eq!(fixture.pool().close(1), 3);
        let total = fixture.pool().total().counted;
        assert_eq!((total.accepted, total.closed.iter().sum::<u64>()), (5, 5), "nobody took it");
        assert_eq!(fixture.slots.taken(), 0);
        assert!(fixture.per_address.acquire("10.0.0.1:2".parse().ok()).is_ok());
    }
}
