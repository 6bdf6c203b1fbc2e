//! From the acceptor to the worker processes.

use std::sync::Arc;

use tokio::sync::mpsc::{self, Receiver, Sender};
use towline::internal::{ConnectionSlots, Dispatch, NewConnection};

use crate::{pool::WorkerPool, worker_slot::IN_FLIGHT_MAX};

/// Most connections that wait for a process to take them, after another did not. Further ones are
/// closed, and counted as lost.
const RETURNED_MAX: usize = 8 * IN_FLIGHT_MAX as usize;

/// Sends new connections to worker processes over their channels.
///
/// A process that is stopped or very busy receives nothing: the connections on their way to it grow to
/// their limit, and from then on connections go to the other processes. The acceptor waits only when no
/// process has room.
#[derive(Debug, Clone)]
pub(crate) struct WorkerDispatch {
    pub(crate) pool: Arc<WorkerPool>,
    /// The connection slots of the server; a process counts as a shard.
    slots: Arc<ConnectionSlots>,
    /// Connections that no process has taken yet.
    returned: Sender<NewConnection>,
}

impl WorkerDispatch {
    /// Returns also the queue for [`deliver_returned`](Self::deliver_returned).
    pub(crate) fn new(
        pool: Arc<WorkerPool>,
        slots: Arc<ConnectionSlots>,
    ) -> (Self, Receiver<NewConnection>) {
        let (returned, queue) = mpsc::channel(RETURNED_MAX);
        (Self { pool, slots, returned }, queue)
    }

    /// Queues a connection that a process did not take, for the next one with room.
    pub(crate) fn give_back(&self, connection: NewConnection) {
        let index = connection.slot.shard();
        if self.returned.try_send(connection).is_err() {
            self.pool.count_undelivered(index);
        }
    }

    /// Sends queued connections to processes as these have room. Never returns.
    pub(crate) async fn deliver_returned(mut self, mut queue: Receiver<NewConnection>) {
        while let Some(NewConnection { accepted, slot }) = queue.recv().await {
            let index = loop {
                self.ready().await;
                if let Some(index) = self.pool.with_room() {
                    break index;
                }
            };
            self.dispatch(NewConnection { accepted, slot: self.slots.reassign(slot, index) });
        }
    }
}

impl Dispatch for WorkerDispatch {
    async fn ready(&mut self) {
        loop {
            // Registered before the check, so that room made in between is not missed.
            let changed = self.pool.room_changed();
            if (0..self.pool.slots()).any(|index| self.has_room(index)) {
                return;
            }
            changed.await;
        }
    }

    fn has_room(&self, shard: usize) -> bool {
        self.pool.has_room(shard)
    }

    fn dispatch(&mut self, mut connection: NewConnection) {
        // Ends: a process that does not take the connection has no room from then on.
        for _ in 0..=self.pool.slots() {
            let index = connection.slot.shard();
            let Err((error, NewConnection { accepted, slot })) = self.pool.send(index, connection)
            else {
                return;
            };
            tracing::debug!(process = index, %error, "connection not taken by the worker process");
            connection = match self.pool.with_room() {
                Some(next) => NewConnection { accepted, slot: self.slots.reassign(slot, next) },
                None => return self.give_back(NewConnection { accepted, slot }),
            };
        }
        self.give_back(connection);
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, time::Duration};

    use tokio::time::timeout;
    use towline::internal::{Accepted, ConnectionTag, PerAddress};

    use super::*;
    use crate::{
        channel::{self, Channel},
        message::{Ack, ToWorker},
        worker_slot::IN_FLIGHT_MAX,
    };

    struct Fixture {
        slots: Arc<ConnectionSlots>,
        dispatch: WorkerDispatch,
        returned: Receiver<NewConnection>,
        per_address: Arc<PerAddress>,
    }

    impl Fixture {
        fn new(slots: usize, connections_max: usize) -> Self {
            let pool = Arc::new(WorkerPool::new(slots, connections_max, 1));
            let slots = ConnectionSlots::new(1000, slots);
            let (dispatch, returned) = WorkerDispatch::new(pool, slots.clone());
            Self { slots, dispatch, returned, per_address: PerAddress::new(Some(1)) }
        }

        fn pool(&self) -> &WorkerPool {
            &self.dispatch.pool
        }

        /// Starts a process in a slot; returns its end of the channel.
        fn start_process(&self, index: usize) -> Channel {
            let (ours, theirs) = channel::pair().expect("descriptors");
            let [ours, theirs] = [ours, theirs].map(|end| Channel::new(end).expect("a runtime"));
            self.pool().process_started(index, Arc::new(ours));
            theirs
        }

        async fn is_ready(&mut self) -> bool {
            timeout(Duration::from_millis(1), self.dispatch.ready()).await.is_ok()
        }

        /// Dispatches one connection, and returns the slot it was first assigned to.
        fn dispatch(&mut self, peer: Option<&str>) -> usize {
            let peer = peer.map(|peer| peer.parse().expect("an address"));
            let tag = self.per_address.acquire(peer).expect("the first from this address");
            let tag = tag.map(|tag| Box::new(tag) as ConnectionTag);
            let reservation = self.slots.try_reserve().expect("below the limit");
            let slot = reservation.assign(tag, |index| self.dispatch.has_room(index));
            let index = slot.shard();
            let socket = UnixStream::pair().expect("descriptors").0.into();
            self.dispatch
                .dispatch(NewConnection { accepted: Accepted { socket, peer, listener: 0 }, slot });
            index
        }
    }

    fn ack(received: u64, ended_untagged: u64, tags: &[u32]) -> Ack {
        Ack { received, ended_untagged, tags: tags.to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_go_to_the_process_with_the_fewest_that_has_room() {
        let mut fixture = Fixture::new(2, 3);
        assert!(!fixture.is_ready().await, "there is no process yet");
        let _first = fixture.start_process(0);
        let second = fixture.start_process(1);
        assert!(fixture.is_ready().await);
        assert_eq!([0; 4].map(|_| fixture.dispatch(None)), [0, 1, 0, 1]);
        fixture.pool().stop_sending(0);
        assert_eq!(fixture.dispatch(None), 1);
        assert!(!fixture.is_ready().await, "one takes no more and the other is full");
        fixture.pool().ack(1, &ack(3, 2, &[]));
        assert!(fixture.is_ready().await);
        assert_eq!(fixture.slots.connections(), 3);
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_receives_nothing_is_passed_over() {
        let mut fixture = Fixture::new(1, 1000);
        let _stopped = fixture.start_process(0);
        for _ in 0..IN_FLIGHT_MAX {
            assert!(fixture.is_ready().await);
            fixture.dispatch(None);
        }
        assert!(!fixture.is_ready().await);
        fixture.pool().ack(0, &ack(1, 0, &[]));
        assert!(fixture.is_ready().await);
    }

    #[tokio::test]
    async fn tags_identify_the_connections_that_have_ended() {
        let mut fixture = Fixture::new(1, 10);
        let process = fixture.start_process(0);
        let mut buffer = channel::buffer();
        let mut tags = Vec::new();
        for peer in [Some("10.0.0.1:1"), None, Some("10.0.0.2:1")] {
            fixture.dispatch(peer);
            let received =
                process.receive(&mut buffer).await.expect("no error").expect("a message");
            assert!(received.socket.is_some());
            let Some(ToWorker::Connection(message)) = ToWorker::decode(&buffer[..received.length])
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
    async fn an_ended_process_frees_all_its_slots() {
        let mut fixture = Fixture::new(2, 10);
        let (gone, _stays) = (fixture.start_process(0), fixture.start_process(1));
        for peer in [Some("10.0.0.1:1"), None, None, None] {
            fixture.dispatch(peer);
        }
        drop(gone);
        assert_eq!(fixture.pool().process_ended(0), 2);
        assert_eq!(fixture.slots.connections(), 2);
        assert!(fixture.per_address.acquire("10.0.0.1:2".parse().ok()).is_ok());
        assert_eq!(
            [0; 3].map(|_| fixture.dispatch(None)),
            [1; 3],
            "no process is in the other slot"
        );
        assert_eq!(fixture.pool().total().counted.accepted, 2, "sent, and lost");
    }

    /// Between the death of a process and its detection every new connection was sent to it and lost,
    /// because it had the fewest.
    #[tokio::test]
    async fn connections_that_a_dead_process_does_not_take_go_to_another() {
        let mut fixture = Fixture::new(3, 10);
        let (dies, lives) = (fixture.start_process(0), fixture.start_process(1));
        assert_eq!([0; 2].map(|_| fixture.dispatch(None)), [0, 1]);
        drop(dies);
        let tagged = ["10.0.0.1:1", "10.0.0.2:1"].map(|peer| fixture.dispatch(Some(peer)));
        assert_eq!(tagged, [0, 1], "it has the fewest, until a send fails");
        assert_eq!((fixture.slots.by_shard(0), fixture.slots.by_shard(1)), (1, 3));
        assert_eq!(fixture.pool().process_ended(0), 1);
        drop(lives);
        fixture.dispatch(None);
        assert_eq!(fixture.pool().process_ended(1), 3);
        let total = fixture.pool().total().counted;
        assert_eq!((total.accepted, total.closed.iter().sum::<u64>()), (4, 4));
        assert_eq!(fixture.slots.taken(), 1, "no process took the last one, and it waits");
        assert!(fixture.per_address.acquire("10.0.0.1:2".parse().ok()).is_ok());
    }

    /// A connection that came while no process took any was closed without a word.
    #[tokio::test]
    async fn connections_that_no_process_takes_wait_for_the_next_one() {
        let mut fixture = Fixture::new(2, 10);
        let gone = fixture.start_process(0);
        fixture.pool().stop_sending(0);
        drop(gone);
        for peer in [None, Some("10.0.0.1:1")] {
            fixture.dispatch(peer);
        }
        let (dispatch, mut returned) =
            WorkerDispatch::new(fixture.dispatch.pool.clone(), fixture.slots.clone());
        std::mem::swap(&mut returned, &mut fixture.returned);
        let deliver = tokio::spawn(dispatch.deliver_returned(returned));
        let next = fixture.start_process(1);
        let mut buffer = channel::buffer();
        for has_tag in [false, true] {
            let received = next.receive(&mut buffer).await.expect("no error").expect("a message");
            assert!(received.socket.is_some());
            let Some(ToWorker::Connection(message)) = ToWorker::decode(&buffer[..received.length])
            else {
                panic!("it is a connection")
            };
            assert_eq!(message.tag.is_some(), has_tag);
        }
        assert_eq!((fixture.slots.by_shard(0), fixture.slots.by_shard(1)), (0, 2));
        assert!(fixture.per_address.acquire("10.0.0.1:2".parse().ok()).is_err(), "it is open");
        assert_eq!(fixture.pool().total().counted.accepted, 0, "none was lost");
        deliver.abort();
    }
}
