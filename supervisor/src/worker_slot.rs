//! One place among the workers: the process in it, what it was handed, and its accounts.

use std::{io, os::fd::AsFd, sync::Arc};

use slab::Slab;

use crate::{
    channel::Channel,
    message::{Ack, ConnectionMsg},
    totals::WorkerTotals,
};
use towline::internal::{ConnectionSlot, NewConnection, Snapshot};

/// Connections that may be on their way to a worker. What it has not taken when it dies, dies with
/// it, and a worker that is stopped holds up no more.
pub(crate) const IN_FLIGHT_MAX: u64 = 128;

/// The process, if there is one that takes connections, and its accounts.
#[derive(Debug, Default)]
pub(crate) struct WorkerSlot {
    pub(crate) channel: Option<Arc<Channel>>,
    /// Connections it was handed, and those of them without a tag.
    handed: u64,
    handed_untagged: u64,
    /// Connections it took out of the channel.
    taken: u64,
    /// What its open connections hold here; those without a tag are all alike.
    untagged: Vec<ConnectionSlot>,
    tagged: Slab<ConnectionSlot>,
    pub(crate) totals: WorkerTotals,
    /// It should get no more until it is heard of again: memory is too short there, or its channel was
    /// full.
    refuses: bool,
}

impl WorkerSlot {
    pub(crate) fn open(&self) -> usize {
        self.untagged.len() + self.tagged.len()
    }

    pub(crate) fn has_room(&self, connections_max: usize) -> bool {
        let in_flight = self.handed - self.taken;
        self.channel.is_some()
            && !self.refuses
            && in_flight < IN_FLIGHT_MAX
            && self.open() < connections_max
    }

    /// Hands a connection to the process; gives it back when there is none that takes it, and then
    /// this place has no room any more.
    pub(crate) fn hand_over(
        &mut self,
        handover: NewConnection,
    ) -> Result<(), (io::Error, NewConnection)> {
        // Numbered as the entry will be; open connections are far fewer than such numbers.
        let tag = handover.slot.is_tagged().then(|| self.tagged.vacant_key() as u32);
        if let Err(error) = self.send(&handover, tag) {
            // It died a moment ago, and its end is yet to be heard of; or it is stopped.
            match error.kind() {
                io::ErrorKind::WouldBlock => self.refuses = true,
                _ => self.channel = None,
            }
            return Err((error, handover));
        }
        self.handed += 1;
        if tag.is_some() {
            self.tagged.insert(handover.slot);
        } else {
            self.handed_untagged += 1;
            self.untagged.push(handover.slot);
        }
        Ok(())
    }

    fn send(
        &self,
        NewConnection { accepted, .. }: &NewConnection,
        tag: Option<u32>,
    ) -> io::Result<()> {
        let channel = self.channel.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let handed = ConnectionMsg { tag, peer: accepted.peer };
        channel.try_send(&handed.bytes(), Some(accepted.socket.as_fd()))
    }

    /// The process tells how far it has come. Returns what its connections held here that ended: each
    /// gives its place back when dropped.
    pub(crate) fn ack(&mut self, ack: &Ack) -> Vec<ConnectionSlot> {
        self.taken = ack.taken;
        let tags = ack.tags.iter().map(|tag| *tag as usize);
        let mut ended: Vec<_> = tags.filter_map(|tag| self.tagged.try_remove(tag)).collect();
        let left = self.handed_untagged.saturating_sub(ack.ended_untagged) as usize;
        let left = left.min(self.untagged.len());
        ended.extend(self.untagged.drain(left..));
        ended
    }

    /// The process tells what it counted.
    pub(crate) fn note(&mut self, snapshot: Snapshot) {
        self.refuses = snapshot.held.refuses();
        self.totals.note(snapshot);
    }

    /// The process is gone. Nothing but the accounts stays; returns the rest, which gives the places
    /// of its connections back when dropped.
    pub(crate) fn close(&mut self) -> Self {
        let mut totals = std::mem::take(&mut self.totals);
        totals.close(self.handed);
        std::mem::replace(self, Self { totals, ..Self::default() })
    }
}
