//! The slots of the workers: written by the tasks that look after their processes, and by the
//! acceptor.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};

use crate::{channel::Channel, message::Ack, worker_slot::WorkerSlot};
use towline::internal::{NewConnection, Snapshot};

/// All slots. Each is written by the one task that looks after its process, and by the acceptor.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    slots: Box<[Mutex<WorkerSlot>]>,
    /// Connections a process can have descriptors for.
    connections_max: usize,
    /// Threads that serve lines, in each process.
    threads: usize,
    /// There may be room where there was none.
    room: Notify,
}

impl WorkerPool {
    pub(crate) fn new(slots: usize, connections_max: usize, threads: usize) -> Self {
        let slots = (0..slots).map(|_| Mutex::default()).collect();
        Self { slots, connections_max, threads, room: Notify::new() }
    }

    fn slot(&self, index: usize) -> MutexGuard<'_, WorkerSlot> {
        // No code that can panic runs under this lock.
        self.slots[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process is there and takes connections from now on.
    pub(crate) fn open(&self, index: usize, channel: Arc<Channel>) {
        self.slot(index).channel = Some(channel);
        self.room.notify_one();
    }

    /// The process gets no more connections; those it has go on.
    pub(crate) fn rest(&self, index: usize) {
        self.slot(index).channel = None;
    }

    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether the process takes one more connection.
    pub(crate) fn has_room(&self, index: usize) -> bool {
        self.slot(index).has_room(self.connections_max)
    }

    /// Waits until some process may have room that had none.
    pub(crate) fn room(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Hands a connection to the process; gives it back when that does not take it.
    pub(crate) fn hand_over(
        &self,
        index: usize,
        handover: NewConnection,
    ) -> Result<(), (io::Error, NewConnection)> {
        self.slot(index).hand_over(handover)
    }

    /// A connection ends because no process took it.
    pub(crate) fn lose(&self, index: usize) {
        self.slot(index).totals.lose();
    }

    /// The process tells how far it has come.
    pub(crate) fn ack(&self, index: usize, ack: &Ack) {
        let ended = self.slot(index).ack(ack);
        // Each may wake the acceptor, so not under the lock.
        drop(ended);
        self.room.notify_one();
    }

    /// The process tells what it counted.
    pub(crate) fn note(&self, index: usize, snapshot: Snapshot) {
        self.slot(index).note(snapshot);
        self.room.notify_one();
    }

    /// The process is gone. Returns how many connections went with it.
    pub(crate) fn close(&self, index: usize) -> usize {
        let gone = self.slot(index).close();
        let lost = gone.open();
        drop(gone);
        self.room.notify_one();
        lost
    }

    /// The process is about to be started again.
    pub(crate) fn restart(&self, index: usize) {
        self.slot(index).totals.restart();
    }

    /// The numbers of all processes, those that are gone included.
    pub(crate) fn total(&self) -> Snapshot {
        let mut total = Snapshot::default();
        for index in 0..self.slots.len() {
            total.join(self.slot(index).totals.total(self.threads));
        }
        total
    }
}
