//! How many connections are in which state, and for how long, exact at every reading.
//!
//! Let a state hold N connections that entered at t₁ … tₙ, and let T be the time of the connections that
//! left. At time t the state's total is `T + N·t − Σtᵢ`. So two numbers a state are enough, N and
//! `A = T − Σtᵢ`: entering at t is `A −= t, N += 1`, leaving is `A += t, N −= 1`, and reading is
//! `A + N·t`, waits still open included, without visiting a connection.
//!
//! N and A must be read together: a torn pair is wrong by ±t. A [`Sequence`] guards them. A is 128 bits wide: a
//! million waiting connections use up 64 bits of nanoseconds in five hours.

use sync::{AtomicU64, Ordering};

use super::{CloseReason, Nanos, State, Writers, sequence::Sequence};

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
mod sync {
    #[cfg(towline_loom)]
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    #[cfg(not(towline_loom))]
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

/// The N and A of one state, A in two halves.
#[derive(Debug, Default)]
struct Cell {
    connections: AtomicU64,
    low: AtomicU64,
    high: AtomicU64,
}

/// The cells of one shard, with the counts of connections opened and closed under the same sequence word:
/// `accepted − Σ closed = Σ connections` at every reading.
#[derive(Debug, Default)]
pub struct StateCells {
    sequence: Sequence,
    accepted: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
    cells: [Cell; State::ALL.len()],
}

/// What [`StateCells`] held at one moment. Snapshots of several shards merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StateSnapshot {
    /// Connections that entered service.
    pub accepted: u64,
    /// Connections that ended, indexed by [`CloseReason`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Open connections, indexed by [`State`].
    pub connections: [u64; State::ALL.len()],
    accumulated: [i128; State::ALL.len()],
}

impl StateCells {
    /// No connections yet.
    #[doc(hidden)]
    pub fn new(writers: Writers) -> Self {
        Self { sequence: Sequence::new(writers), ..Self::default() }
    }

    /// Records that a connection begins in `state`.
    #[doc(hidden)]
    pub fn open(&self, state: State, at: Nanos) {
        self.sequence.write(|| {
            add(&self.accepted, 1);
            self.enter(state, at);
        });
    }

    /// Records that a connection changes from one state to another.
    #[doc(hidden)]
    #[inline]
    pub fn change(&self, from: State, to: State, at: Nanos) {
        self.sequence.write(|| {
            self.leave(from, at);
            self.enter(to, at);
        });
    }

    /// Records that a connection in `state` ends.
    #[doc(hidden)]
    pub fn close(&self, state: State, reason: CloseReason, at: Nanos) {
        self.sequence.write(|| {
            self.leave(state, at);
            add(&self.closed[reason as usize], 1);
        });
    }

    /// Reads all as of one moment. Never blocks a writer; repeats while one writes.
    pub fn snapshot(&self) -> StateSnapshot {
        self.sequence.read(|| StateSnapshot {
            accepted: load(&self.accepted),
            closed: std::array::from_fn(|i| load(&self.closed[i])),
            connections: std::array::from_fn(|i| load(&self.cells[i].connections)),
            accumulated: std::array::from_fn(|i| self.cells[i].accumulated()),
        })
    }

    #[inline]
    fn enter(&self, state: State, at: Nanos) {
        let cell = &self.cells[state as usize];
        add(&cell.connections, 1);
        cell.accumulate(-i128::from(at.0));
    }

    #[inline]
    fn leave(&self, state: State, at: Nanos) {
        let cell = &self.cells[state as usize];
        add(&cell.connections, u64::MAX);
        cell.accumulate(i128::from(at.0));
    }
}

impl Cell {
    #[inline]
    fn accumulate(&self, nanos: i128) {
        let sum = self.accumulated().wrapping_add(nanos);
        self.low.store(sum as u64, Ordering::Relaxed);
        self.high.store((sum >> 64) as u64, Ordering::Relaxed);
    }

    #[inline]
    fn accumulated(&self) -> i128 {
        (i128::from(load(&self.high) as i64) << 64) | i128::from(load(&self.low))
    }
}

/// Load and store, not a read-modify-write: the sequence word already excludes other writers.
#[inline]
fn add(cell: &AtomicU64, n: u64) {
    cell.store(load(cell).wrapping_add(n), Ordering::Relaxed);
}

#[inline]
fn load(cell: &AtomicU64) -> u64 {
    cell.load(Ordering::Relaxed)
}

impl StateSnapshot {
    /// Connection-nanoseconds spent in a state until `now`, including connections still in it.
    ///
    /// `now` must not be before the last change: read the clock after the snapshot.
    pub fn nanos_in(&self, state: State, now: Nanos) -> u128 {
        let i = state as usize;
        let total = self.accumulated[i] + i128::from(self.connections[i]) * i128::from(now.0);
        // A change was stamped after `now` was read: the sum may be below zero.
        u128::try_from(total).unwrap_or(0)
    }

    /// The number of open connections.
    pub fn open(&self) -> u64 {
        self.connections.iter().sum()
    }

    /// Adds the connections of another shard.
    pub fn merge(&mut self, other: &Self) {
        self.accepted += other.accepted;
        for (mine, theirs) in self.closed.iter_mut().zip(other.closed) {
            *mine += theirs;
        }
        for (mine, theirs) in self.connections.iter_mut().zip(other.connections) {
            *mine += theirs;
        }
        for (mine, theirs) in self.accumulated.iter_mut().zip(other.accumulated) {
            *mine += theirs;
        }
    }
}
