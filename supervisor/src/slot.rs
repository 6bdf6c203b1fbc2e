//! One place among the workers: the process in it, what it was handed, and its accounts.

use std::{io, os::fd::AsFd, sync::Arc};

use slab::Slab;

use crate::{
    channel::Channel,
    message::{Handed, Tally},
    totals::Ledger,
};
use towline::internal::{Handover, Slot, Snapshot};

/// Connections that may be on their way to a worker. What it has not taken when it dies, dies with
/// it, and a worker that is stopped holds up no more.
pub(crate) const UNDERWAY_MAX: u64 = 128;

/// The process, if there is one that takes connections, and its accounts.
#[derive(Debug, Default)]
pub(crate) struct Place {
    pub(crate) channel: Option<Arc<Channel>>,
    /// Connections it was handed, and those of them without a mark.
    handed: u64,
    handed_unmarked: u64,
    /// Connections it took out of the channel.
    taken: u64,
    /// What its open connections hold here; those without a mark are all alike.
    unmarked: Vec<Slot>,
    marked: Slab<Slot>,
    pub(crate) ledger: Ledger,
    /// It should get no more until it is heard of again: memory is too short there, or its channel was
    /// full.
    refuses: bool,
}

impl Place {
    pub(crate) fn open(&self) -> usize {
        self.unmarked.len() + self.marked.len()
    }

    pub(crate) fn has_room(&self, each: usize) -> bool {
        let underway = self.handed - self.taken;
        self.channel.is_some() && !self.refuses && underway < UNDERWAY_MAX && self.open() < each
    }

    /// Hands a connection to the process; gives it back when there is none that takes it, and then
    /// this place has no room any more.
    pub(crate) fn hand_over(&mut self, handover: Handover) -> Result<(), (io::Error, Handover)> {
        // Numbered as the entry will be; open connections are far fewer than such numbers.
        let mark = handover.slot.is_marked().then(|| self.marked.vacant_key() as u32);
        if let Err(error) = self.send(&handover, mark) {
            // It died a moment ago, and its end is yet to be heard of; or it is stopped.
            match error.kind() {
                io::ErrorKind::WouldBlock => self.refuses = true,
                _ => self.channel = None,
            }
            return Err((error, handover));
        }
        self.handed += 1;
        if mark.is_some() {
            self.marked.insert(handover.slot);
        } else {
            self.handed_unmarked += 1;
            self.unmarked.push(handover.slot);
        }
        Ok(())
    }

    fn send(&self, Handover { accepted, .. }: &Handover, mark: Option<u32>) -> io::Result<()> {
        let channel = self.channel.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let handed = Handed { mark, peer: accepted.peer };
        channel.try_send(&handed.bytes(), Some(accepted.socket.as_fd()))
    }

    /// The process tells how far it has come. Returns what its connections held here that ended: each
    /// gives its place back when dropped.
    pub(crate) fn tally(&mut self, tally: &Tally) -> Vec<Slot> {
        self.taken = tally.taken;
        let marks = tally.marks.iter().map(|mark| *mark as usize);
        let mut ended: Vec<_> = marks.filter_map(|mark| self.marked.try_remove(mark)).collect();
        let left = self.handed_unmarked.saturating_sub(tally.ended_unmarked) as usize;
        let left = left.min(self.unmarked.len());
        ended.extend(self.unmarked.drain(left..));
        ended
    }

    /// The process tells what it counted.
    pub(crate) fn note(&mut self, snapshot: Snapshot) {
        self.refuses = snapshot.held.refuses();
        self.ledger.note(snapshot);
    }

    /// The process is gone. Nothing but the accounts stays; returns the rest, which gives the places
    /// of its connections back when dropped.
    pub(crate) fn close(&mut self) -> Self {
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.close(self.handed);
        std::mem::replace(self, Self { ledger, ..Self::default() })
    }
}
