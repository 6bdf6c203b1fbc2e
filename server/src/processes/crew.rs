//! The places of the workers, as the acceptor sees them: who can take a connection, and what each
//! was handed.

use std::{
    io,
    os::fd::AsFd,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use slab::Slab;
use tokio::sync::Notify;

use super::{
    channel::Channel,
    ledger::Ledger,
    message::{Handed, Tally},
};
use crate::{accept::Deliver, exporter::Snapshot, shard::Handover, slots::Slot};

/// Connections that may be on their way to a worker. What it has not taken when it dies, dies with
/// it, and a worker that is stopped holds up no more.
const UNDERWAY_MAX: u64 = 128;

/// All places. Each is written by the one task that looks after its process, and by the acceptor.
#[derive(Debug)]
pub(crate) struct Crew {
    places: Box<[Mutex<Place>]>,
    /// Connections a process can have descriptors for.
    each: usize,
    /// Threads that serve lines, in each process.
    threads: usize,
    /// There may be room where there was none.
    room: Notify,
}

/// One place: the process in it, if there is one that takes connections, and its accounts.
#[derive(Debug, Default)]
struct Place {
    channel: Option<Arc<Channel>>,
    /// Connections it was handed, and those of them without a mark.
    handed: u64,
    handed_unmarked: u64,
    /// Connections it took out of the channel.
    taken: u64,
    /// What its open connections hold here; those without a mark are all alike.
    unmarked: Vec<Slot>,
    marked: Slab<Slot>,
    ledger: Ledger,
    /// Memory is too short there for more connections.
    refuses: bool,
}

impl Place {
    fn open(&self) -> usize {
        self.unmarked.len() + self.marked.len()
    }

    fn has_room(&self, each: usize) -> bool {
        let underway = self.handed - self.taken;
        self.channel.is_some() && !self.refuses && underway < UNDERWAY_MAX && self.open() < each
    }

    fn hand_over(&mut self, Handover { accepted, slot }: Handover) -> io::Result<()> {
        let Some(channel) = &self.channel else { return Err(io::ErrorKind::NotConnected.into()) };
        // Numbered as the entry will be; open connections are far fewer than such numbers.
        let mark = slot.is_marked().then(|| self.marked.vacant_key() as u32);
        let handed = Handed { mark, peer: accepted.peer };
        channel.try_send(&handed.bytes(), Some(accepted.socket.as_fd()))?;
        self.handed += 1;
        if mark.is_some() {
            self.marked.insert(slot);
        } else {
            self.handed_unmarked += 1;
            self.unmarked.push(slot);
        }
        Ok(())
    }
}

impl Crew {
    pub(crate) fn new(places: usize, each: usize, threads: usize) -> Self {
        let places = (0..places).map(|_| Mutex::default()).collect();
        Self { places, each, threads, room: Notify::new() }
    }

    fn place(&self, index: usize) -> MutexGuard<'_, Place> {
        // No code that can panic runs under this lock.
        self.places[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is there and takes connections from now on.
    pub(crate) fn open(&self, index: usize, channel: Arc<Channel>) {
        self.place(index).channel = Some(channel);
        self.room.notify_one();
    }

    /// The process gets no more connections; those it has go on.
    pub(crate) fn rest(&self, index: usize) {
        self.place(index).channel = None;
    }

    /// The process tells how far it has come.
    pub(crate) fn tally(&self, index: usize, tally: &Tally) {
        let mut place = self.place(index);
        place.taken = tally.taken;
        let marks = tally.marks.iter().map(|mark| *mark as usize);
        let mut ended: Vec<_> = marks.filter_map(|mark| place.marked.try_remove(mark)).collect();
        let left = place.handed_unmarked.saturating_sub(tally.ended_unmarked) as usize;
        let left = left.min(place.unmarked.len());
        ended.extend(place.unmarked.drain(left..));
        // Each gives its place back when dropped, and may wake the acceptor.
        drop(place);
        drop(ended);
        self.room.notify_one();
    }

    /// The process tells what it counted.
    pub(crate) fn note(&self, index: usize, snapshot: Snapshot) {
        let mut place = self.place(index);
        place.refuses = snapshot.held.refuses();
        place.ledger.note(snapshot);
        drop(place);
        self.room.notify_one();
    }

    /// The process is gone. Returns how many connections went with it.
    pub(crate) fn close(&self, index: usize) -> usize {
        let mut place = self.place(index);
        let mut ledger = std::mem::take(&mut place.ledger);
        ledger.close(place.handed);
        let gone = std::mem::replace(&mut *place, Place { ledger, ..Place::default() });
        drop(place);
        let lost = gone.open();
        drop(gone);
        self.room.notify_one();
        lost
    }

    /// The process is about to be started again.
    pub(crate) fn restart(&self, index: usize) {
        self.place(index).ledger.restart();
    }

    /// The numbers of all processes, those that are gone included.
    pub(crate) fn total(&self) -> Snapshot {
        let mut total = Snapshot::default();
        for index in 0..self.places.len() {
            total.join(self.place(index).ledger.total(self.threads));
        }
        total
    }
}

/// Delivers to processes by their channels.
///
/// A process that is stopped, or busy beyond measure, takes nothing: what is on its way to it grows
/// to [`UNDERWAY_MAX`], and from then on connections go to the others. The acceptor waits only when
/// none has room.
#[derive(Debug)]
pub(crate) struct ToProcesses(pub(crate) Arc<Crew>);

impl Deliver for ToProcesses {
    async fn ready(&mut self) {
        loop {
            // Registered before the look, so that room made in between is not missed.
            let room = self.0.room.notified();
            if (0..self.0.places.len()).any(|index| self.has_room(index)) {
                return;
            }
            room.await;
        }
    }

    fn has_room(&self, shard: usize) -> bool {
        self.0.place(shard).has_room(self.0.each)
    }

    fn deliver(&mut self, handover: Handover) {
        let index = handover.slot.shard();
        // Fails when the process died just now: the connection ends with it, as those before.
        if let Err(error) = self.0.place(index).hand_over(handover) {
            tracing::debug!(process = index, %error, "connection not handed over");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, time::Duration};

    use tokio::time::timeout;

    use super::*;
    use crate::{
        listen::Accepted,
        per_address::PerAddress,
        processes::{channel, message::ToWorker},
        slots::{Mark, Slots},
    };

    struct House {
        slots: Arc<Slots>,
        deliver: ToProcesses,
        per_address: Arc<PerAddress>,
    }

    impl House {
        fn of(places: usize, each: usize) -> Self {
            let crew = Arc::new(Crew::new(places, each, 1));
            let slots = Slots::new(1000, places);
            Self { slots, deliver: ToProcesses(crew), per_address: PerAddress::new(Some(1)) }
        }

        fn crew(&self) -> &Crew {
            &self.deliver.0
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
}
