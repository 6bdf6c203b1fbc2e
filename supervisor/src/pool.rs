//! The worker slots, shared by the tasks that supervise the processes and the acceptor.

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, futures::Notified, watch};
use towline::internal::{ConnectionSlot, NewConnection, ProcessState, Snapshot, monotonic_nanos};

use crate::{
    channel::Channel,
    message::{Ack, WorkerPlace},
    worker_slot::WorkerSlot,
};

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
    /// Processes that take connections.
    serving: watch::Sender<usize>,
}

impl WorkerPool {
    pub(crate) fn new(slots: usize, connections_max: usize, threads: usize) -> Self {
        let slots = (0..slots).map(|_| Mutex::default()).collect();
        let (room, serving) = (Notify::new(), watch::Sender::new(0));
        Self { slots, connections_max, threads, room, serving }
    }

    fn slot(&self, index: usize) -> MutexGuard<'_, WorkerSlot> {
        // No code that can panic runs under this lock.
        self.slots[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process has started and takes connections through `channel`.
    pub(crate) fn process_started(&self, index: usize, channel: Arc<Channel>) {
        self.slot(index).channel = Some(channel);
        self.count_serving();
        self.room.notify_waiters();
    }

    /// Sends the process no more connections; those it has go on.
    pub(crate) fn stop_sending(&self, index: usize) {
        self.slot(index).channel = None;
        self.count_serving();
    }

    /// The process has stopped to answer, or answers again.
    pub(crate) fn set_unresponsive(&self, index: usize, unresponsive: bool) {
        self.slot(index).unresponsive = unresponsive;
        self.count_serving();
        self.room.notify_waiters();
    }

    /// The number of processes that take connections, now and after each change.
    pub(crate) fn serving(&self) -> watch::Receiver<usize> {
        self.serving.subscribe()
    }

    fn count_serving(&self) {
        let serves = |index: &usize| self.slot(*index).state() == ProcessState::Serving;
        let serving = (0..self.slots()).filter(serves).count();
        self.serving.send_if_modified(|before| std::mem::replace(before, serving) != serving);
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
        let sent = self.slot(index).send(connection);
        if sent.is_err() {
            self.count_serving();
        }
        sent
    }

    /// The slot of a process with room, of those the one with the fewest connections.
    pub(crate) fn with_room(&self) -> Option<usize> {
        let with_room = (0..self.slots()).filter(|index| self.has_room(*index));
        with_room.min_by_key(|index| self.slot(*index).connections())
    }

    /// Takes back a connection that was sent to the process and that it has not received.
    pub(crate) fn take_back(&self, index: usize, tag: Option<u32>) -> Option<ConnectionSlot> {
        self.slot(index).take_back(tag)
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
        self.room.notify_waiters();
    }

    /// Records a report of the process.
    pub(crate) fn record(&self, index: usize, snapshot: Snapshot) {
        self.slot(index).record(snapshot);
        self.room.notify_waiters();
    }

    /// The process has ended. Returns how many connections ended with it.
    pub(crate) fn process_ended(&self, index: usize) -> usize {
        let ended = self.slot(index).process_ended(monotonic_nanos());
        let lost = ended.connections();
        drop(ended);
        self.count_serving();
        self.room.notify_waiters();
        lost
    }

    /// Counts a restart.
    pub(crate) fn count_restart(&self, index: usize) {
        self.slot(index).totals.count_restart();
    }

    /// Which process the next one of a slot is.
    pub(crate) fn place(&self, index: usize) -> WorkerPlace {
        WorkerPlace { index, restarts: self.slot(index).totals.restarts() }
    }

    /// A count for each thread of each process that goes on while the thread runs; none where the process is being
    /// replaced.
    pub(crate) fn ticks(&self) -> Vec<Option<u64>> {
        let mut ticks = Vec::with_capacity(self.slots() * self.threads);
        for index in 0..self.slots() {
            let slot = self.slot(index);
            let runs = slot.state() != ProcessState::Missing;
            let shards = slot.totals.total(self.threads, 0).shards;
            ticks.extend(shards.iter().map(|shard| runs.then_some(shard.ticks)));
        }
        ticks
    }

    /// The counts of all processes, ended ones included, with times up to now.
    pub(crate) fn total(&self) -> Snapshot {
        let now_nanos = monotonic_nanos();
        let mut total = Snapshot { taken_nanos: now_nanos, ..Snapshot::default() };
        for index in 0..self.slots.len() {
            let slot = self.slot(index);
            let mut process = slot.totals.total(self.threads, now_nanos);
            process.held.processes[slot.state() as usize] = 1;
            total.join(process);
        }
        total
    }
}
