//! The places of the workers: written by the tasks that look after their processes, and by the
//! acceptor.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use crate::{channel::Channel, message::Tally, slot::Place};
use towline::internal::{Handover, Snapshot};

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

    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// Whether the process takes one more connection.
    pub(crate) fn has_room(&self, index: usize) -> bool {
        self.place(index).has_room(self.each)
    }

    /// Waits until some process may have room that had none.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Hands a connection to the process; gives it back when that does not take it.
    pub(crate) fn hand_over(
        &self,
        index: usize,
        handover: Handover,
    ) -> Result<(), (io::Error, Handover)> {
        self.place(index).hand_over(handover)
    }

    /// A connection ends because no process took it.
    pub(crate) fn lose(&self, index: usize) {
        self.place(index).ledger.lose();
    }

    /// The process tells how far it has come.
    pub(crate) fn tally(&self, index: usize, tally: &Tally) {
        let ended = self.place(index).tally(tally);
        // Each may wake the acceptor, so not under the lock.
        drop(ended);
        self.room.notify_one();
    }

    /// The process tells what it counted.
    pub(crate) fn note(&self, index: usize, snapshot: Snapshot) {
        self.place(index).note(snapshot);
        self.room.notify_one();
    }

    /// The process is gone. Returns how many connections went with it.
    pub(crate) fn close(&self, index: usize) -> usize {
        let gone = self.place(index).close();
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
