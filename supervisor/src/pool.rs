//! The worker slots, shared by the tasks that supervise the processes and the acceptor.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified};
use towline::internal::{NewConnection, Snapshot};

use crate::{channel::Channel, message::Ack, worker_slot::WorkerSlot};

/// All worker slots. Each is changed by the task that supervises its process, and by the acceptor.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    slots: Box<[Mutex<WorkerSlot>]>,
    /// Most connections of one process, by its descriptors.
    connections_max: usize,
    /// Threads that serve lines, in each process.
    threads: usize,
    /// Notified when a slot may have room that it did not have.
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

    /// A process has started and takes connections through `channel`.
    pub(crate) fn process_started(&self, index: usize, channel: Arc<Channel>) {
        self.slot(index).channel = Some(channel);
        self.room.notify_one();
    }

    /// Sends the process no more connections; those it has go on.
    pub(crate) fn stop_sending(&self, index: usize) {
        self.slot(index).channel = None;
    }

    /// The number of slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots.len()
    }

    /// Whether the process of a slot takes one more connection.
    pub(crate) fn has_room(&self, index: usize) -> bool {
        self.slot(index).has_room(self.connections_max)
    }

    /// Waits until a slot may have room that it did not have.
    pub(crate) fn room_changed(&self) -> Notified<'_> {
        self.room.notified()
    }

    /// Sends a connection to the process of a slot.
    ///
    /// # Errors
    /// Returns the connection if the process does not take it.
    pub(crate) fn send(
        &self,
        index: usize,
        connection: NewConnection,
    ) -> Result<(), (io::Error, NewConnection)> {
        self.slot(index).send(connection)
    }

    /// Counts a connection that was closed because no process took it.
    pub(crate) fn count_undelivered(&self, index: usize) {
        self.slot(index).totals.count_undelivered();
    }

    /// Applies an ack of the process.
    pub(crate) fn ack(&self, index: usize, ack: &Ack) {
        let ended = self.slot(index).ack(ack);
        // Outside the lock: each freed slot may wake the acceptor.
        drop(ended);
        self.room.notify_one();
    }

    /// Records a report of the process.
    pub(crate) fn record(&self, index: usize, snapshot: Snapshot) {
        self.slot(index).record(snapshot);
        self.room.notify_one();
    }

    /// The process has ended. Returns how many connections ended with it.
    pub(crate) fn process_ended(&self, index: usize) -> usize {
        let ended = self.slot(index).process_ended();
        let lost = ended.connections();
        drop(ended);
        self.room.notify_one();
        lost
    }

    /// Counts a restart.
    pub(crate) fn count_restart(&self, index: usize) {
        self.slot(index).totals.count_restart();
    }

    /// The counts of all processes, ended ones included.
    pub(crate) fn total(&self) -> Snapshot {
        let mut total = Snapshot::default();
        for index in 0..self.slots.len() {
            total.join(self.slot(index).totals.total(self.threads));
        }
        total
    }
}
