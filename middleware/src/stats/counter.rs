use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

/// How many threads write at a time.
///
/// Numbers that one thread writes need no atomic read-modify-write, which costs as much as the rest
/// of counting a batch. Any number of threads may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Writers {
    /// Any number.
    #[default]
    Many,
    /// One thread: a shard's. Where others write too, counts are lost.
    One,
}

/// A number that only grows. An add costs about 3 ns with many [`Writers`], less with one.
#[derive(Debug, Default)]
pub struct Counter {
    value: AtomicU64,
    writers: Writers,
}

impl Counter {
    /// At zero.
    pub const fn new(writers: Writers) -> Self {
        Self { value: AtomicU64::new(0), writers }
    }

    /// Adds.
    #[inline]
    pub fn add(&self, n: u64) {
        add(&self.value, n, self.writers);
    }

    /// The sum so far.
    pub fn get(&self) -> u64 {
        self.value.load(Relaxed)
    }
}

#[inline]
pub(super) fn add(value: &AtomicU64, n: u64, writers: Writers) {
    match writers {
        Writers::Many => {
            value.fetch_add(n, Relaxed);
        }
        Writers::One => value.store(value.load(Relaxed).wrapping_add(n), Relaxed),
    }
}

/// A number that rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds, or takes away when negative.
    #[inline]
    pub fn add(&self, n: i64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The value now.
    pub fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}
