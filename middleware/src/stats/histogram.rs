use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::counter::{Writers, add};

/// Upper bounds of the buckets, in nanoseconds: 1-2.5-5 from 10 µs to 10 s.
const BOUNDS_NANOS: [u64; 19] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// Durations in fixed buckets; nothing grows between scrapes.
#[derive(Debug, Default)]
pub struct Histogram {
    /// One for each bound, and one for durations above all.
    buckets: [AtomicU64; BOUNDS_NANOS.len() + 1],
    sum_nanos: AtomicU64,
    writers: Writers,
}

/// What a [`Histogram`] held when it was read. Snapshots of several shards merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Samples in each bucket, not cumulated; the last has no upper bound.
    pub buckets: [u64; BOUNDS_NANOS.len() + 1],
    /// Sum of all samples in nanoseconds.
    pub sum_nanos: u64,
}

impl Histogram {
    pub(super) fn new(writers: Writers) -> Self {
        Self { writers, ..Self::default() }
    }

    /// Records one sample. *Costs*: about 5 ns.
    #[inline]
    pub(super) fn record(&self, nanos: u64) {
        // Most durations are short, so a linear search ends soon.
        let at = BOUNDS_NANOS.iter().position(|&bound| nanos <= bound);
        add(&self.buckets[at.unwrap_or(BOUNDS_NANOS.len())], 1, self.writers);
        add(&self.sum_nanos, nanos, self.writers);
    }

    /// Reads the histogram. Samples recorded meanwhile may be in the buckets and not yet in the sum.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: std::array::from_fn(|i| self.buckets[i].load(Relaxed)),
            sum_nanos: self.sum_nanos.load(Relaxed),
        }
    }
}

impl HistogramSnapshot {
    /// Adds another histogram's samples.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.iter_mut().zip(other.buckets) {
            *mine += theirs;
        }
        self.sum_nanos += other.sum_nanos;
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Each bound with the number of samples at or below it, as Prometheus exposes them.
    pub fn cumulative(&self) -> impl Iterator<Item = (Duration, u64)> {
        BOUNDS_NANOS.iter().zip(self.buckets).scan(0, |sum, (&bound, samples)| {
            *sum += samples;
            Some((Duration::from_nanos(bound), *sum))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_counts_in_every_bucket_at_or_above_it() {
        let histogram = Histogram::default();
        for nanos in [1, 10_000, 10_001, 20_000_000_000] {
            histogram.record(nanos);
        }
        let mut read = histogram.snapshot();
        let cumulative: Vec<_> = read.cumulative().map(|(_, samples)| samples).collect();
        assert_eq!(cumulative[..2], [2, 3]);
        assert_eq!(cumulative.last(), Some(&3));
        assert_eq!(read.count(), 4);
        read.merge(&histogram.snapshot());
        assert_eq!((read.count(), read.sum_nanos), (8, 2 * 20_000_020_002));
    }
}
