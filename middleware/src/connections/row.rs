//! One row, as it is stored and as it is read.

use std::time::Duration;

use super::{
    PeerAddress,
    peer::PackedPeer,
    rows::sync::{AtomicU32, AtomicU64, Ordering, fence},
};
use crate::{
    clock::Nanos,
    stats::{CloseReason, State},
};

/// What tells a connection from all others of its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId {
    /// The row; taken again by a later connection.
    pub slot: u32,
    /// The number of the connection on its shard, counted from 1.
    pub serial: u32,
}

/// A connection at the moment at which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionRow {
    /// Which one it is.
    pub id: ConnectionId,
    /// The peer's address.
    pub peer: PeerAddress,
    /// What it is doing.
    pub state: State,
    /// Since when it has been doing that. A connection that was woken, did nothing and waits on has been
    /// waiting since before.
    pub since: Nanos,
    /// When it was opened.
    pub opened: Nanos,
    /// Complete lines, or frames, taken from its peer.
    pub lines: u64,
    /// How long it has waited for its peer to take replies, in total and now.
    pub write_wait: Duration,
    /// Bytes buffered when it last waited: of an unfinished line, a batch in service and unsent replies.
    pub buffered_bytes: u32,
    /// The most bytes that it ever buffered while it waited.
    pub buffered_bytes_max: u32,
    /// Why it was asked to close, if it was.
    pub closing: Option<CloseReason>,
}

/// The stored row: one cache line. Its connection's task is the only writer, but for `close`.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Row {
    lines: AtomicU64,
    /// The state and since when: see [`pack_state`].
    state: AtomicU64,
    /// The state in which it last parked, since when, and [`PROGRESSED`].
    parked: AtomicU64,
    peer: AtomicU64,
    opened: AtomicU64,
    /// How long it has waited for its peer to take replies: see [`WaitTime`].
    write_wait: AtomicU64,
    /// 0 while no connection has the row.
    serial: AtomicU32,
    /// 0, or the close reason and one, and [`AT_ONCE`].
    close: AtomicU32,
    buffered: AtomicU32,
    buffered_max: AtomicU32,
}

/// In `parked`: lines were taken since.
const PROGRESSED: u64 = 1 << 63;

/// Close without waiting for the peer or the service.
const AT_ONCE: u32 = 1 << 8;

/// A state in the four lowest bits, and nanoseconds above: enough for 18 years.
const fn pack_state(state: State, at: Nanos) -> u64 {
    ((at.0 << 4) | state as u64) & !PROGRESSED
}

fn unpack_state(bits: u64) -> (State, Nanos) {
    (State::ALL[(bits & 15) as usize], Nanos((bits & !PROGRESSED) >> 4))
}

const RELAXED: Ordering = Ordering::Relaxed;

impl Row {
    pub(super) fn open(&self, serial: u32, at: Nanos) {
        let state = pack_state(State::Ready, at);
        // A reader that sees any of the following sees that the row has changed hands.
        fence(Ordering::Release);
        for (cell, value) in [
            (&self.lines, 0),
            (&self.state, state),
            (&self.parked, state),
            (&self.peer, 0),
            (&self.opened, at.0),
            (&self.write_wait, 0),
        ] {
            cell.store(value, RELAXED);
        }
        for cell in [&self.close, &self.buffered, &self.buffered_max] {
            cell.store(0, RELAXED);
        }
        self.serial.store(serial, Ordering::Release);
    }

    /// Returns whether the connection was asked to close.
    pub(super) fn free(&self) -> bool {
        self.serial.store(0, RELAXED);
        // Its next owner may be a waker without a connection, which was asked nothing.
        self.close.swap(0, RELAXED) != 0
    }

    pub(super) fn opened(&self) -> Nanos {
        Nanos(self.opened.load(RELAXED))
    }

    pub(super) fn set_peer(&self, bits: u64) {
        self.peer.store(bits, RELAXED);
    }

    #[inline]
    pub(super) fn add_lines(&self, lines: u64) {
        self.lines.store(self.lines.load(RELAXED).wrapping_add(lines), RELAXED);
        self.parked.store(self.parked.load(RELAXED) | PROGRESSED, RELAXED);
    }

    #[inline]
    pub(super) fn resume(&self, at: Nanos) {
        self.state.store(pack_state(State::Ready, at), RELAXED);
    }

    #[inline]
    pub(super) fn park(&self, state: State, at: Nanos) {
        let before = self.parked.load(RELAXED);
        let (state_before, since) = unpack_state(before);
        if (state_before == State::WriteWait) != (state == State::WriteWait) {
            self.toggle_write_wait(at);
        }
        let waits_on = state == state_before && before & PROGRESSED == 0;
        let now = pack_state(state, if waits_on { since } else { at });
        self.parked.store(now, RELAXED);
        self.state.store(now, RELAXED);
    }

    #[cold]
    fn toggle_write_wait(&self, at: Nanos) {
        let WaitTime(bits) = WaitTime(self.write_wait.load(RELAXED)).toggled(at);
        self.write_wait.store(bits, RELAXED);
    }

    #[inline]
    pub(super) fn set_buffered(&self, bytes: u32) {
        if self.buffered.load(RELAXED) != bytes {
            self.buffered.store(bytes, RELAXED);
            if self.buffered_max.load(RELAXED) < bytes {
                self.buffered_max.store(bytes, RELAXED);
            }
        }
    }

    /// Asks the connection `serial` to close. Returns whether it has the row.
    pub(super) fn request_close(&self, serial: u32, reason: CloseReason, at_once: bool) -> bool {
        let request = (reason as u32 + 1) | if at_once { AT_ONCE } else { 0 };
        let is_there = serial != 0 && self.serial.load(RELAXED) == serial;
        if is_there {
            // The first reason says more.
            let _ = self.close.compare_exchange(0, request & !AT_ONCE, RELAXED, RELAXED);
            self.close.fetch_or(request & AT_ONCE, RELAXED);
        }
        is_there
    }

    /// The connection, if it was opened before `at` and was not asked to close.
    pub(super) fn opened_before(&self, at: impl FnOnce(u32) -> Nanos) -> Option<u32> {
        let serial = self.serial.load(Ordering::Acquire);
        let opened = Nanos(self.opened.load(RELAXED));
        (serial != 0 && !self.is_asked() && opened < at(serial)).then_some(serial)
    }

    /// Whether a request to close waits here.
    pub(super) fn is_asked(&self) -> bool {
        self.close.load(RELAXED) != 0
    }

    pub(super) fn close_reason(&self) -> Option<CloseReason> {
        let asked = self.close.load(RELAXED) & !AT_ONCE;
        CloseReason::ALL.get((asked as usize).checked_sub(1)?).copied()
    }

    pub(super) fn close_at_once(&self) -> Option<CloseReason> {
        self.close_reason().filter(|_| self.close.load(RELAXED) & AT_ONCE != 0)
    }

    /// Reads the row; `None` if it is free, or changed hands meanwhile. `elsewhere` has addresses that do
    /// not fit.
    pub(super) fn read(
        &self,
        slot: u32,
        now: Nanos,
        elsewhere: impl FnOnce() -> PeerAddress,
    ) -> Option<ConnectionRow> {
        let serial = self.serial.load(Ordering::Acquire);
        if serial == 0 {
            return None;
        }
        let (state, since) = unpack_state(self.state.load(RELAXED));
        let peer = match PackedPeer::unpack(self.peer.load(RELAXED)) {
            PackedPeer::Address(peer) => peer,
            PackedPeer::Elsewhere => elsewhere(),
        };
        let row = ConnectionRow {
            id: ConnectionId { slot, serial },
            peer,
            state,
            since,
            opened: Nanos(self.opened.load(RELAXED)),
            lines: self.lines.load(RELAXED),
            write_wait: WaitTime(self.write_wait.load(RELAXED)).at(now),
            buffered_bytes: self.buffered.load(RELAXED),
            buffered_bytes_max: self.buffered_max.load(RELAXED),
            closing: self.close_reason(),
        };
        fence(Ordering::Acquire);
        (self.serial.load(RELAXED) == serial).then_some(row)
    }
}

/// Time spent waiting, in one word, so that a reader sees no half of a change: the nanoseconds of waits that have
/// ended; or, during a wait, [`OPEN`](Self::OPEN) and that number less the time at which the wait began.
#[derive(Debug, Clone, Copy, Default)]
struct WaitTime(u64);

impl WaitTime {
    const OPEN: u64 = 1 << 63;
    const MASK: u64 = Self::OPEN - 1;

    /// Begins a wait, or ends the one that is open.
    const fn toggled(self, at: Nanos) -> Self {
        if self.0 & Self::OPEN == 0 {
            Self(self.0.wrapping_sub(at.0) | Self::OPEN)
        } else {
            Self(self.0.wrapping_add(at.0) & Self::MASK)
        }
    }

    /// All waits until `now`.
    const fn at(self, now: Nanos) -> Duration {
        let nanos =
            if self.0 & Self::OPEN == 0 { self.0 } else { self.0.wrapping_add(now.0) & Self::MASK };
        // A reader whose clock reading is older than the beginning of the first wait.
        Duration::from_nanos(if nanos > Self::MASK / 2 { 0 } else { nanos })
    }
}

#[cfg(all(test, not(towline_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STATES: [State; 4] = [State::WriteWait, State::Idle, State::Service, State::WriteWait];

    proptest! {
        /// Against sums that are kept apart: of the time from each park in `WriteWait` to the next park in
        /// another state, and of lines.
        #[test]
        fn a_row_says_what_its_connection_did(
            steps in prop::collection::vec((0_u64..1_000, 0_usize..STATES.len(), 0_u64..3), 0..100),
            later in 0_u64..1_000,
        ) {
            let row = Row::default();
            let (mut now, mut waited, mut lines, mut waits_since) = (5, 0, 0, None);
            row.open(7, Nanos(now));
            let mut parked = (State::Ready, now);
            for (after, state, taken) in steps {
                now += after;
                row.resume(Nanos(now));
                if taken > 0 {
                    row.add_lines(taken);
                    lines += taken;
                }
                let state = STATES[state];
                row.park(state, Nanos(now));
                match (waits_since, state == State::WriteWait) {
                    (None, true) => waits_since = Some(now),
                    (Some(since), false) => {
                        waited += now - since;
                        waits_since = None;
                    }
                    _ => {}
                }
                if taken > 0 || state != parked.0 {
                    parked = (state, now);
                }
            }
            now += later;
            let waited = waited + waits_since.map_or(0, |since| now - since);
            let read = row.read(3, Nanos(now), || PeerAddress::Unix).expect("it is open");
            prop_assert_eq!(read.id, ConnectionId { slot: 3, serial: 7 });
            prop_assert_eq!((read.state, read.since.0), parked);
            prop_assert_eq!((read.lines, read.opened.0), (lines, 5));
            prop_assert_eq!(read.write_wait, Duration::from_nanos(waited));
        }
    }

    /// A row kept the request of a connection that was gone. A waker without a connection that got the row next
    /// took it for its own, and the number of connections that were asked fell below zero.
    #[test]
    fn a_row_that_is_free_was_asked_nothing() {
        let row = Row::default();
        assert!(!row.request_close(0, CloseReason::Admin, false), "0 is no connection");
        row.open(7, Nanos(1));
        assert!(row.request_close(7, CloseReason::Admin, true));
        assert!(row.free());
        assert!(!row.free());
        assert!(!row.request_close(7, CloseReason::Admin, false), "it is gone");
    }
}
