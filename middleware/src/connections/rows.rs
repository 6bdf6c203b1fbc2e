//! The table: rows in chunks that never move.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    ConnectionId, ConnectionRow, PeerAddress,
    peer::{PackedPeer, canonical},
    row::Row,
};
use crate::{
    clock::Nanos,
    stats::{CloseReason, State},
};

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
pub(super) mod sync {
    #[cfg(towline_loom)]
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
    #[cfg(not(towline_loom))]
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
}

/// Rows of a chunk: 64 KiB of them. The model checker keeps a history of each.
const CHUNK_ROWS: usize = if cfg!(towline_loom) { 2 } else { 1024 };

/// Most chunks of a table: a million rows, as many as the descriptors that Linux allows a process by default.
/// Connections beyond that are served and have no row.
const CHUNKS_MAX: usize = 1024;

type Chunk = Box<[Row]>;

/// The rows of a shard, by slot, in chunks that are made when they are needed and never move. Read and written
/// without a lock. A connection finds its row by its slot: a pointer would take eight bytes of every connection.
#[derive(Debug, Clone)]
pub struct Chunks(Arc<[OnceLock<Chunk>]>);

/// Which connection has which row. Guarded by the lock of the list of wakers, which hands out the slots.
#[derive(Debug, Default)]
pub struct Rows {
    chunks: Chunks,
    /// Addresses that do not fit a row, by slot.
    long_addresses: HashMap<u32, SocketAddr>,
    last_serial: u32,
    /// Open connections that were asked to close.
    asked: usize,
}

impl Rows {
    /// Gives the row `slot` to a new connection.
    pub fn open(&mut self, slot: u32, at: Nanos) {
        // 0 is no connection's.
        self.last_serial = self.last_serial.checked_add(1).unwrap_or(1);
        if let Some(row) = self.chunks.make(slot) {
            row.open(self.last_serial, at);
        }
    }

    /// The first serial number becomes `serial`, so that the connections of a process that was started again
    /// are not taken for those before.
    pub(crate) fn number_from(&mut self, serial: u32) {
        self.last_serial = serial.wrapping_sub(1);
    }

    /// Sets the address of the peer of the connection that has `slot`.
    pub fn set_peer(&mut self, slot: u32, peer: PeerAddress) {
        let peer = canonical(peer);
        if let PeerAddress::Ip(address @ SocketAddr::V6(_)) = peer {
            self.long_addresses.insert(slot, address);
        }
        if let Some(row) = self.row(slot) {
            row.set_peer(PackedPeer::pack(peer));
        }
    }

    /// Takes the row back. Returns whether that was the last connection that had been asked to close.
    pub fn free(&mut self, slot: u32) -> bool {
        let asked = self.row(slot).is_some_and(Row::free);
        if !self.long_addresses.is_empty() {
            self.long_addresses.remove(&slot);
        }
        self.asked -= usize::from(asked);
        asked && self.asked == 0
    }

    /// Asks a connection to close. Returns whether it is open.
    pub(crate) fn request_close(
        &mut self,
        id: ConnectionId,
        reason: CloseReason,
        at_once: bool,
    ) -> bool {
        let Some(row) = self.row(id.slot) else { return false };
        let first = !row.is_asked();
        let is_open = row.request_close(id.serial, reason, at_once);
        self.asked += usize::from(is_open && first);
        is_open
    }

    /// The row of the open connection that has `slot`.
    pub(crate) fn read(&self, slot: u32, now: Nanos) -> Option<ConnectionRow> {
        self.row(slot)?.read(slot, now, || self.long_address(slot))
    }

    /// The rows, for readers and owners that hold no lock.
    pub fn chunks(&self) -> Chunks {
        self.chunks.clone()
    }

    /// The address of the peer of the connection that has `slot`, if it does not fit the row.
    pub(crate) fn long_address(&self, slot: u32) -> PeerAddress {
        self.long_addresses.get(&slot).copied().into()
    }

    fn row(&self, slot: u32) -> Option<&Row> {
        self.chunks.row(slot)
    }
}

impl Default for Chunks {
    fn default() -> Self {
        Self((0..CHUNKS_MAX).map(|_| OnceLock::new()).collect())
    }
}

impl Chunks {
    /// The row of a slot. `None` where connections are not counted.
    #[inline]
    fn row(&self, slot: u32) -> Option<&Row> {
        self.0.get(slot as usize / CHUNK_ROWS)?.get()?.get(slot as usize % CHUNK_ROWS)
    }

    fn make(&self, slot: u32) -> Option<&Row> {
        let chunk = self.0.get(slot as usize / CHUNK_ROWS)?;
        let rows = chunk.get_or_init(|| (0..CHUNK_ROWS).map(|_| Row::default()).collect());
        rows.get(slot as usize % CHUNK_ROWS)
    }

    /// The connections of one chunk that are older than `age`, each by its own measure, up to `max` of them;
    /// and whether there is such a chunk.
    pub(crate) fn older(
        &self,
        chunk: usize,
        age: Duration,
        now: Nanos,
        max: usize,
    ) -> Option<Vec<ConnectionId>> {
        let rows = self.0.get(chunk)?.get()?;
        let before = |serial| Nanos(now.0.saturating_sub(own_age_nanos(age, serial)));
        let slots = (chunk * CHUNK_ROWS) as u32..;
        let old = slots.zip(rows).filter_map(|(slot, row)| {
            Some(ConnectionId { slot, serial: row.opened_before(before)? })
        });
        Some(old.take(max).collect())
    }

    /// Every connection that is open. `long_address` is called for an address that does not fit the row.
    pub fn read_all(
        &self,
        now: Nanos,
        long_address: impl Fn(u32) -> PeerAddress,
    ) -> impl Iterator<Item = ConnectionRow> {
        let chunks = (0..).step_by(CHUNK_ROWS).zip(&self.0[..]);
        let rows = chunks.filter_map(|(first, chunk)| Some((first.., chunk.get()?)));
        rows.flat_map(|(slots, rows)| slots.zip(rows))
            .filter_map(move |(slot, row)| row.read(slot, now, || long_address(slot)))
    }
}

/// The age of one connection: `age`, give or take a tenth. By its number, so that it needs no memory.
fn own_age_nanos(age: Duration, serial: u32) -> u64 {
    /// 2³² divided by the golden ratio: neighbouring numbers come to lie far apart.
    const GOLDEN: u32 = 0x9E37_79B9;
    let share = f64::from(serial.wrapping_mul(GOLDEN)) / f64::from(u32::MAX);
    let nanos = age.mul_f64(0.9 + 0.2 * share).as_nanos();
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

// Of an owner.
impl Chunks {
    /// Adds lines that were taken.
    #[inline]
    pub fn add_lines(&self, slot: u32, lines: usize) {
        if let Some(row) = self.row(slot) {
            row.add_lines(lines as u64);
        }
    }

    /// The connection runs since `at`.
    #[inline]
    pub fn resume(&self, slot: u32, at: Nanos) {
        if let Some(row) = self.row(slot) {
            row.resume(at);
        }
    }

    /// The connection waits in `state` since `at`.
    #[inline]
    pub fn park(&self, slot: u32, state: State, at: Nanos) {
        if let Some(row) = self.row(slot) {
            row.park(state, at);
        }
    }

    /// What it buffers.
    #[inline]
    pub fn set_buffered(&self, slot: u32, bytes: usize) {
        if let Some(row) = self.row(slot) {
            row.set_buffered(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// When it was opened.
    pub(crate) fn opened(&self, slot: u32) -> Option<Nanos> {
        self.row(slot).map(Row::opened)
    }

    /// Why it was asked to close.
    #[cold]
    pub(crate) fn close_reason(&self, slot: u32) -> Option<CloseReason> {
        self.row(slot)?.close_reason()
    }

    /// Why it was asked to close at once.
    #[cold]
    pub(crate) fn close_at_once(&self, slot: u32) -> Option<CloseReason> {
        self.row(slot)?.close_at_once()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_within_a_tenth_and_spread_evenly() {
        let age = Duration::from_secs(100);
        let mut tenths = [0; 10];
        for serial in 1..=10_000 {
            let seconds = own_age_nanos(age, serial) as f64 / 1e9;
            assert!((90.0..=110.0).contains(&seconds), "{serial}: {seconds}");
            tenths[((seconds - 90.0) / 2.0).min(9.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (900..=1_100).contains(count)), "{tenths:?}");
        assert_eq!(own_age_nanos(Duration::MAX, 7), u64::MAX);
    }
}
