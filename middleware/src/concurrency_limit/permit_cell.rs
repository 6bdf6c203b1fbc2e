//! Free permits, where the thread that releases them finds them again.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use super::{
    semaphore::Semaphore,
    sync::{
        AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

/// Free permits on a cache line of their own: those of one thread, as long as it finds one there.
///
/// One word holds their number and whether the cell is closed. So a thread that adds a permit learns in the
/// same instruction whether a call waits for it, and one that closes the cell gets every permit that was
/// added before.
// Two lines, because processors load them in pairs.
#[repr(align(128))]
pub(super) struct PermitCell {
    word: AtomicUsize,
    semaphore: Weak<Semaphore>,
}

/// The bit of a closed cell, from which permits are taken under the semaphore's lock only. The sign, so that
/// a cell with a permit to take is above zero.
const CLOSED: usize = 1 << (usize::BITS - 1);

/// Most permits of a semaphore: what is added to a cell never reaches the bit.
pub(super) const PERMITS_MAX: usize = CLOSED / 4;

/// Why a cell has no permit to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is none here.
    Empty,
    /// Calls wait, or more permits are in use than there are.
    Closed,
}

impl PermitCell {
    pub(super) fn new(permits: usize, closed: bool, semaphore: Weak<Semaphore>) -> Self {
        let word = AtomicUsize::new(permits | if closed { CLOSED } else { 0 });
        Self { word, semaphore }
    }

    /// Takes a permit. *Costs*: one locked instruction.
    #[inline]
    pub(super) fn take(&self) -> Result<(), Refusal> {
        let mut word = self.word.load(Relaxed);
        while word.cast_signed() > 0 {
            match self.word.compare_exchange_weak(word, word - 1, Acquire, Relaxed) {
                Ok(_) => return Ok(()),
                Err(now) => word = now,
            }
        }
        Err(if word == 0 { Refusal::Empty } else { Refusal::Closed })
    }

    /// Adds permits. Returns whether the cell is closed: the caller then [collects](Semaphore::collect) them
    /// for the calls that wait. *Costs*: one locked instruction.
    #[inline]
    pub(super) fn add(&self, permits: usize) -> bool {
        self.word.fetch_add(permits, Release) >= CLOSED
    }

    /// Closes the cell and takes all permits.
    pub(super) fn close(&self) -> usize {
        self.word.swap(CLOSED, AcqRel) & !CLOSED
    }

    pub(super) fn open(&self) {
        self.word.fetch_and(!CLOSED, Release);
    }

    /// Permits that are here now.
    pub(super) fn free(&self) -> usize {
        self.word.load(Relaxed) & !CLOSED
    }
}

/// A permit that is in use, released to the cell of the thread that acquired it when dropped.
///
/// The reference count is of that cell, so it stays in that thread's processor as well.
pub(super) struct Permit(pub(super) Arc<PermitCell>);

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        if self.0.add(1) {
            collect(&self.0);
        }
    }
}

#[cold]
fn collect(cell: &PermitCell) {
    // Without its semaphore no call waits.
    if let Some(semaphore) = cell.semaphore.upgrade() {
        semaphore.collect(cell);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit").finish_non_exhaustive()
    }
}
