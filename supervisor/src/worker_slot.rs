//! One worker slot: its running process, the connections sent to it, and its counts.

use std::{io, os::fd::AsFd, sync::Arc};

use slab::Slab;
use towline::internal::{Accepted, ConnectionSlot, NewConnection, ProcessState, Snapshot};

use crate::{
    channel::Channel,
    message::{Ack, ConnectionMsg},
    totals::WorkerTotals,
};

/// Most connections on their way to a worker. They are lost with it if it dies, and they wait if it is
/// stopped.
pub(crate) const IN_FLIGHT_MAX: u64 = 128;

/// The process in this slot, if one takes connections, and the counts of all processes before it.
#[derive(Debug, Default)]
pub(crate) struct WorkerSlot {
    /// The channel to the running process; `None` while no process takes connections.
    pub(crate) channel: Option<Arc<Channel>>,
    /// Connections sent, and those of them without a tag.
    sent: u64,
    sent_untagged: u64,
    /// Connections that the process has received.
    received: u64,
    /// The slots of open connections. Those without a tag are interchangeable.
    untagged: Vec<ConnectionSlot>,
    tagged: Slab<ConnectionSlot>,
    pub(crate) totals: WorkerTotals,
    /// No connection is sent before the next report: memory is short there, or the channel was full.
    refuses: bool,
    /// No connection is sent until the process answers again.
    pub(crate) unresponsive: bool,
}

impl WorkerSlot {
    /// Connections of the process, those on their way included.
    pub(crate) fn connections(&self) -> usize {
        self.untagged.len() + self.tagged.len()
    }

    pub(crate) fn state(&self) -> ProcessState {
        match (&self.channel, self.unresponsive) {
            (Some(_), false) => ProcessState::Serving,
            (Some(_), true) => ProcessState::Unresponsive,
            (None, _) => ProcessState::Missing,
        }
    }

    pub(crate) fn has_room(&self, connections_max: usize) -> bool {
        let in_flight = self.sent - self.received;
        self.channel.is_some()
            && !self.refuses
            && !self.unresponsive
            && in_flight < IN_FLIGHT_MAX
            && self.connections() < connections_max
    }

    /// Sends a connection to the process.
    ///
    /// # Errors
    /// Returns the connection if the process does not take it. The slot has no room from then on.
    pub(crate) fn send(
        &mut self,
        connection: NewConnection,
    ) -> Result<(), (io::Error, NewConnection)> {
        // The key that the slab's next entry will have; open connections fit 32 bits.
        let tag = connection.slot.is_tagged().then(|| self.tagged.vacant_key() as u32);
        if let Err(error) = self.try_send(&connection, tag) {
            match error.kind() {
                // The process is stopped or very busy.
                io::ErrorKind::WouldBlock => self.refuses = true,
                // The process has just died; its exit has not been seen yet.
                _ => self.channel = None,
            }
            return Err((error, connection));
        }
        self.sent += 1;
        if tag.is_some() {
            self.tagged.insert(connection.slot);
        } else {
            self.sent_untagged += 1;
            self.untagged.push(connection.slot);
        }
        Ok(())
    }

    fn try_send(
        &self,
        NewConnection { accepted, .. }: &NewConnection,
        tag: Option<u32>,
    ) -> io::Result<()> {
        let channel = self.channel.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let Accepted { socket, peer, listener } = accepted;
        let message = ConnectionMsg { tag, peer: *peer, listener: *listener };
        channel.try_send(&message.encode(), Some(socket.as_fd()))
    }

    /// Takes back a connection that was sent and that the process has not received. Returns its slot.
    pub(crate) fn take_back(&mut self, tag: Option<u32>) -> Option<ConnectionSlot> {
        let slot = match tag {
            Some(tag) => self.tagged.try_remove(tag as usize)?,
            None => {
                let slot = self.untagged.pop()?;
                self.sent_untagged -= 1;
                slot
            }
        };
        self.sent -= 1;
        Some(slot)
    }

    /// Applies an ack. Returns the slots of connections that have ended, which are freed when dropped.
    pub(crate) fn ack(&mut self, ack: &Ack) -> Vec<ConnectionSlot> {
        self.received = ack.received;
        let tags = ack.tags.iter().map(|tag| *tag as usize);
        let mut ended: Vec<_> = tags.filter_map(|tag| self.tagged.try_remove(tag)).collect();
        let open = self.sent_untagged.saturating_sub(ack.ended_untagged) as usize;
        let open = open.min(self.untagged.len());
        ended.extend(self.untagged.drain(open..));
        ended
    }

    /// Records a report of the process.
    pub(crate) fn record(&mut self, snapshot: Snapshot) {
        self.refuses = snapshot.held.refuses();
        self.totals.record(snapshot);
    }

    /// The process has ended: only the counts stay. Returns the rest, which frees the slots of its
    /// connections when dropped.
    pub(crate) fn process_ended(&mut self, now_nanos: u64) -> Self {
        let mut totals = std::mem::take(&mut self.totals);
        totals.process_ended(self.sent, now_nanos);
        std::mem::replace(self, Self { totals, ..Self::default() })
    }
}
