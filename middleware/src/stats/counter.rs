use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// How many threads write a number.
///
/// A number that one thread writes needs no atomic read-modify-write, which costs as much as the rest of
/// counting a batch. Any number of threads may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writers {
    /// Any number of threads.
    #[default]
    Many,
    /// One thread: a shard's. Where other threads write too, counts are lost.
    One,
    /// None: what is written is dropped. For numbers that are not exported.
    None,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicU64,
    writers: Writers,
}

impl Counter {
    pub(super) const fn new(writers: Writers) -> Self {
        Self { value: AtomicU64::new(0), writers }
    }

    /// Adds `n`. *Costs*: about 3 ns with many [`Writers`], less with one, a branch with none.
    #[inline]
    pub(crate) fn add(&self, n: u64) {
        add(&self.value, n, self.writers);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}

#[inline]
pub(super) fn add(value: &AtomicU64, n: u64, writers: Writers) {
    // The commonest first: the compiler would test for the others before it.
    if writers == Writers::One {
        value.store(value.load(Relaxed).wrapping_add(n), Relaxed);
    } else if writers == Writers::Many {
        value.fetch_add(n, Relaxed);
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds `n`, which may be negative.
    #[inline]
    pub(crate) fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}
