use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    Bounds,
    counter::{Writers, add},
};

/// Durations in fixed buckets; nothing grows between scrapes.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    /// One for each bound, and one for durations above all.
    buckets: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
    writers: Writers,
}

/// What a [`Histogram`] held when it was read. Snapshots of several shards merge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    /// Samples in each bucket, not cumulated; the last has no upper bound. Empty if there are none.
    pub buckets: Vec<u64>,
    /// Sum of all samples in nanoseconds.
    pub sum_nanos: u64,
}

impl Histogram {
    /// An empty one.
    #[doc(hidden)]
    pub fn new(bounds: &'static Bounds, writers: Writers) -> Self {
        let buckets = (0..=bounds.nanos().len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, buckets, sum_nanos: AtomicU64::new(0), writers }
    }

    /// Records one sample. *Costs*: about 5 ns.
    #[doc(hidden)]
    #[inline]
    pub fn record(&self, nanos: u64) {
        add(&self.buckets[self.bounds.bucket(nanos)], 1, self.writers);
        add(&self.sum_nanos, nanos, self.writers);
    }

    /// Records several samples of the same length.
    pub(super) fn record_each(&self, nanos: u64, samples: u64) {
        add(&self.buckets[self.bounds.bucket(nanos)], samples, self.writers);
        add(&self.sum_nanos, nanos.saturating_mul(samples), self.writers);
    }

    /// Records samples that are longer than every bound, by their sum.
    pub(super) fn record_beyond_bounds(&self, samples: u64, sum_nanos: u64) {
        add(&self.buckets[self.buckets.len() - 1], samples, self.writers);
        add(&self.sum_nanos, sum_nanos, self.writers);
    }

    /// Reads the histogram. Samples recorded meanwhile may be in the buckets and not yet in the sum.
    pub fn snapshot(&self) -> HistogramSnapshot {
        HistogramSnapshot {
            buckets: self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect(),
            sum_nanos: self.sum_nanos.load(Relaxed),
        }
    }
}

impl HistogramSnapshot {
    /// Adds the samples of another histogram with the same bounds.
    pub fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.sum_nanos += other.sum_nanos;
    }

    /// The number of samples.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Each of the histogram's bounds with the number of samples at or below it, as Prometheus exposes them.
    pub fn cumulative(&self, bounds: &'static Bounds) -> impl Iterator<Item = (Duration, u64)> {
        let mut buckets = self.buckets.iter();
        bounds.nanos().iter().scan(0, move |sum, &bound| {
            *sum += buckets.next().unwrap_or(&0);
            Some((Duration::from_nanos(bound), *sum))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::bounds::{COARSE, FINE},
        *,
    };

    #[test]
    fn a_sample_counts_in_every_bucket_at_or_above_it() {
        let histogram = Histogram::new(&COARSE, Writers::Many);
        for nanos in [1, 1_000, 1_001, 20_000_000_000] {
            histogram.record(nanos);
        }
        let mut read = histogram.snapshot();
        let cumulative: Vec<_> = read.cumulative(&COARSE).map(|(_, samples)| samples).collect();
        assert_eq!(cumulative[..2], [2, 3]);
        assert_eq!(cumulative.last(), Some(&3));
        assert_eq!(read.count(), 4);
        read.merge(&histogram.snapshot());
        assert_eq!((read.count(), read.sum_nanos), (8, 2 * 20_000_002_002));
        let mut empty = HistogramSnapshot::default();
        assert!(empty.cumulative(&COARSE).all(|(_, samples)| samples == 0));
        empty.merge(&read);
        assert_eq!(empty, read);
    }

    /// The median as Prometheus' `histogram_quantile` interpolates it.
    fn median(read: &HistogramSnapshot) -> f64 {
        let (rank, mut below) = (read.count() as f64 / 2.0, (0.0, 0.0));
        for (bound, samples) in read.cumulative(&FINE) {
            let (bound, samples) = (bound.as_nanos() as f64, samples as f64);
            if samples >= rank {
                let share = (rank - below.1) / (samples - below.1);
                return below.0 + (bound - below.0) * share;
            }
            below = (bound, samples);
        }
        below.0
    }

    /// Everything faster than 10 µs was shown as 5 µs and a little, whatever the load.
    #[test]
    fn the_median_of_a_service_that_takes_always_the_same_time_is_right_within_a_tenth() {
        // In steps of 3 %, so that every part of a bucket has its turn.
        let mut nanos = 1_001_f64;
        while nanos < 100e6 {
            let histogram = Histogram::new(&FINE, Writers::One);
            for _ in 0..1_000 {
                histogram.record(nanos as u64);
            }
            let shown = median(&histogram.snapshot());
            assert!((shown / nanos - 1.0).abs() <= 0.1001, "{nanos} is shown as {shown}");
            nanos *= 1.03;
        }
    }
}
