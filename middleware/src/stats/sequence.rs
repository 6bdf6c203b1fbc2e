//! Numbers that are written and read together.

use sync::{AtomicU64, Ordering, fence, hint};

use super::Writers;

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
mod sync {
    #[cfg(towline_loom)]
    pub(super) use loom::{
        hint,
        sync::atomic::{AtomicU64, Ordering, fence},
    };
    #[cfg(not(towline_loom))]
    pub(super) use std::{
        hint,
        sync::atomic::{AtomicU64, Ordering, fence},
    };
}

/// A sequence lock over atomics that its user keeps beside it, and stores to and loads from without ordering.
///
/// The word is odd while they are written; a reader that saw it change reads again. A writer never waits for a
/// reader. Several writers exclude each other by taking the word from even to odd.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    word: AtomicU64,
    writers: Writers,
}

impl Sequence {
    pub(super) fn new(writers: Writers) -> Self {
        Self { writers, ..Self::default() }
    }

    /// Writes, unless there are no writers.
    #[inline]
    pub(super) fn write(&self, change: impl FnOnce()) {
        let even = if self.writers == Writers::One {
            let even = self.word.load(Ordering::Relaxed);
            self.word.store(even | 1, Ordering::Relaxed);
            even
        } else if self.writers == Writers::Many {
            self.take()
        } else {
            return;
        };
        // Orders the odd number before the data for readers; pairs with their fence.
        fence(Ordering::Release);
        change();
        self.word.store(even.wrapping_add(2), Ordering::Release);
    }

    /// Takes the word from even to odd; returns the even number.
    fn take(&self) -> u64 {
        let mut even = self.word.load(Ordering::Relaxed) & !1;
        while let Err(now) =
            self.word.compare_exchange_weak(even, even | 1, Ordering::Acquire, Ordering::Relaxed)
        {
            even = now & !1;
            hint::spin_loop();
        }
        even
    }

    /// Reads as of one moment; repeats while a writer writes.
    pub(super) fn read<T>(&self, read: impl Fn() -> T) -> T {
        loop {
            let before = self.word.load(Ordering::Acquire);
            if before.is_multiple_of(2) {
                let value = read();
                fence(Ordering::Acquire);
                if self.word.load(Ordering::Relaxed) == before {
                    return value;
                }
            }
            hint::spin_loop();
        }
    }
}
