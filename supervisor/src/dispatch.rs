//! From the acceptor to the workers, past those that are full, stopped or dead.

use std::sync::Arc;

use crate::pool::Crew;
use towline::internal::{Deliver, Handover, Slots};

/// Delivers to processes by their channels.
///
/// A process that is stopped, or busy beyond measure, takes nothing: what is on its way to it grows
/// to what may be on its way, and from then on connections go to the others. The acceptor waits only when
/// none has room.
#[derive(Debug)]
pub(crate) struct ToProcesses {
    pub(crate) crew: Arc<Crew>,
    /// The places of connections, as many shards as there are processes.
    pub(crate) slots: Arc<Slots>,
}

impl Deliver for ToProcesses {
    async fn ready(&mut self) {
        loop {
            // Registered before the look, so that room made in between is not missed.
            let room = self.crew.room();
            if (0..self.crew.places()).any(|index| self.has_room(index)) {
                return;
            }
            room.await;
        }
    }

    fn has_room(&self, shard: usize) -> bool {
        self.crew.has_room(shard)
    }

    fn deliver(&mut self, mut handover: Handover) {
        // Each that does not take it has no room from then on.
        for _ in 0..=self.crew.places() {
            let index = handover.slot.shard();
            let Err((error, Handover { accepted, slot })) = self.crew.hand_over(index, handover)
            else {
                return;
            };
            tracing::debug!(process = index, %error, "connection not taken over");
            let Some(next) = (0..self.crew.places()).find(|index| self.has_room(*index)) else {
                return self.crew.lose(index);
            };
            handover = Handover { accepted, slot: self.slots.moved(slot, next) };
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
        message::{Tally, ToWorker},
        slot::UNDERWAY_MAX,
    };
    use towline::internal::{Accepted, Mark, PerAddress};

    struct House {
        slots: Arc<Slots>,
        deliver: ToProcesses,
        per_address: Arc<PerAddress>,
    }

    impl House {
        fn of(places: usize, each: usize) -> Self {
            let crew = Arc::new(Crew::new(places, each, 1));
            let slots = Slots::new(1000, places);
            let deliver = ToProcesses { crew, slots: slots.clone() };
            Self { slots, deliver, per_address: PerAddress::new(Some(1)) }
        }

        fn crew(&self) -> &Crew {
            &self.deliver.crew
        }

        /// The other end of a process's channel.
        fn process(&self, index: usize) -> Channel {
            let (ours, theirs) = channel::pair().expect("descriptors");
            let [ours, theirs] = [ours, theirs].map(|end| Channel::new(end).expect("a runtime"));
            self.crew().open(index, Arc::new(ours));
            theirs
        }

        async fn is_ready(&mut self) -> bool {
            timeout(Duration::from_millis(1), self.deliver.ready()).await.is_ok()
        }

        /// Delivers one connection, and tells to whom.
        fn deliver(&mut self, peer: Option<&str>) -> usize {
            let peer = peer.map(|peer| peer.parse().expect("an address"));
            let mark = self.per_address.enter(peer).expect("the first from there");
            let mark = mark.map(|mark| Box::new(mark) as Mark);
            let place = self.slots.try_reserve().expect("below the limit");
            let slot = place.place(mark, |index| self.deliver.has_room(index));
            let index = slot.shard();
            let socket = UnixStream::pair().expect("descriptors").0.into();
            self.deliver.deliver(Handover { accepted: Accepted { socket, peer }, slot });
            index
        }
    }

    fn tally(taken: u64, ended_unmarked: u64, marks: &[u32]) -> Tally {
        Tally { taken, ended_unmarked, marks: marks.to_vec() }
    }

    #[tokio::test(start_paused = true)]
    async fn connections_go_to_the_process_that_has_the_fewest_and_takes_them() {
        let mut house = House::of(2, 3);
        assert!(!house.is_ready().await, "there is no process yet");
        let _first = house.process(0);
        let second = house.process(1);
        assert!(house.is_ready().await);
        assert_eq!([0; 4].map(|_| house.deliver(None)), [0, 1, 0, 1]);
        house.crew().rest(0);
        assert_eq!(house.deliver(None), 1);
        assert!(!house.is_ready().await, "one rests and the other is full");
        house.crew().tally(1, &tally(3, 2, &[]));
        assert!(house.is_ready().await);
        assert_eq!(house.slots.connections(), 3);
        drop(second);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_takes_nothing_is_passed_by() {
        let mut house = House::of(1, 1000);
        let _stopped = house.process(0);
        for _ in 0..UNDERWAY_MAX {
            assert!(house.is_ready().await);
            house.deliver(None);
        }
        assert!(!house.is_ready().await);
        house.crew().tally(0, &tally(1, 0, &[]));
        assert!(house.is_ready().await);
    }

    #[tokio::test]
    async fn marks_name_the_connections_that_end() {
        let mut house = House::of(1, 10);
        let process = house.process(0);
        let mut buffer = channel::buffer();
        let mut marks = Vec::new();
        for peer in [Some("10.0.0.1:1"), None, Some("10.0.0.2:1")] {
            house.deliver(peer);
            let arrived = process.receive(&mut buffer).await.expect("no error").expect("a message");
            assert!(arrived.socket.is_some());
            let Some(ToWorker::Handed(handed)) = ToWorker::read(&buffer[..arrived.length]) else {
                panic!("it is a connection")
            };
            assert_eq!(handed.peer, peer.map(|peer| peer.parse().expect("an address")));
            marks.extend(handed.mark);
        }
        assert_eq!(marks.len(), 2);
        assert!(house.per_address.enter("10.0.0.2:9".parse().ok()).is_err(), "it has one open");
        house.crew().tally(0, &tally(3, 0, &marks[1..]));
        assert!(house.per_address.enter("10.0.0.2:9".parse().ok()).is_ok(), "it ended");
        assert!(house.per_address.enter("10.0.0.1:9".parse().ok()).is_err(), "it has one open");
        assert_eq!(house.slots.connections(), 2);
    }

    #[tokio::test]
    async fn a_process_that_is_gone_gives_all_its_places_back() {
        let mut house = House::of(2, 10);
        let (gone, _stays) = (house.process(0), house.process(1));
        for peer in [Some("10.0.0.1:1"), None, None, None] {
            house.deliver(peer);
        }
        drop(gone);
        assert_eq!(house.crew().close(0), 2);
        assert_eq!(house.slots.connections(), 2);
        assert!(house.per_address.enter("10.0.0.1:2".parse().ok()).is_ok());
        assert_eq!([0; 3].map(|_| house.deliver(None)), [1; 3], "nobody is at the other place");
        assert_eq!(house.crew().total().counted.accepted, 2, "what was handed over and lost");
    }

    /// A process that died a moment ago took those connections along that were handed to it before its
    /// end was heard of: it had the fewest, so that was everybody who came.
    #[tokio::test]
    async fn what_a_dead_process_does_not_take_goes_to_another() {
        let mut house = House::of(3, 10);
        let (dies, lives) = (house.process(0), house.process(1));
        assert_eq!([0; 2].map(|_| house.deliver(None)), [0, 1]);
        drop(dies);
        let marked = ["10.0.0.1:1", "10.0.0.2:1"].map(|peer| house.deliver(Some(peer)));
        assert_eq!(marked, [0, 1], "it has the fewest, and then no room");
        assert_eq!((house.slots.by_shard(0), house.slots.by_shard(1)), (1, 3));
        assert_eq!(house.crew().close(0), 1);
        drop(lives);
        house.deliver(None);
        assert_eq!(house.crew().close(1), 3);
        let total = house.crew().total().counted;
        assert_eq!((total.accepted, total.closed.iter().sum::<u64>()), (5, 5), "nobody took it");
        assert_eq!(house.slots.taken(), 0);
        assert!(house.per_address.enter("10.0.0.1:2".parse().ok()).is_ok());
    }
}
