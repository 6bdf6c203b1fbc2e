//! How long something that is ready waits until its shard runs it.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::{
    Bounds, COARSE, Histogram, HistogramSnapshot, Nanos, counter::Writers, sequence::Sequence,
};

/// No sample is due.
const NEVER: u64 = u64::MAX;

/// Samples of the delay between the time at which a shard should run a task and the time at which it does.
///
/// A probe on the shard becomes ready every [`INTERVAL`](Self::INTERVAL), by a clock that does not wait for the
/// shard, and records how late it runs. A shard that stands still for a second is one second late once and a little
/// less late for each interval of that second, as connections with a line every interval would be.
///
/// One thread writes, any number read.
#[derive(Debug)]
pub struct SchedulingDelay {
    /// Guards the other fields.
    sequence: Sequence,
    /// When the next sample is due.
    due: AtomicU64,
    delays: Histogram,
}

impl SchedulingDelay {
    /// Time between two samples.
    pub const INTERVAL: Duration = Duration::from_millis(50);

    /// The bounds of the histogram.
    pub const BOUNDS: &'static Bounds = &COARSE;

    pub(super) fn new() -> Self {
        let delays = Histogram::new(Self::BOUNDS, Writers::One);
        Self { sequence: Sequence::new(Writers::One), due: AtomicU64::new(NEVER), delays }
    }

    /// Begins to sample: the first sample is due at `due`.
    pub fn start(&self, due: Nanos) {
        self.sequence.write(|| self.due.store(due.0, Relaxed));
    }

    /// Ends sampling.
    pub fn stop(&self) {
        self.sequence.write(|| self.due.store(NEVER, Relaxed));
    }

    /// Records that the probe runs at `now`, after `samples` became due.
    pub fn record(&self, now: Nanos, samples: u64) {
        let due = self.due.load(Relaxed);
        if due == NEVER {
            return;
        }
        self.sequence.write(|| {
            let late = Late { longest: now.0.saturating_sub(due), samples };
            late.record_in(&self.delays);
            self.due.store(due + samples * interval(), Relaxed);
        });
    }

    /// Reads the histogram. Samples that have been due at `now` for longer than its last bound are in it
    /// although their shard has not run: it may never.
    pub fn snapshot(&self, now: Nanos) -> HistogramSnapshot {
        let read = || (self.delays.snapshot(), self.due.load(Relaxed));
        let (mut delays, due) = self.sequence.read(read);
        let late = Late { longest: now.0.saturating_sub(due), samples: u64::MAX };
        late.beyond_bounds().add_to(&mut delays);
        delays
    }
}

/// Samples that became due one interval after the other.
#[derive(Debug, Clone, Copy)]
struct Late {
    /// How late the first of them is; each other is late by one interval less.
    longest: u64,
    samples: u64,
}

impl Late {
    /// Those that are later than the last bound.
    fn beyond_bounds(self) -> Self {
        let most = SchedulingDelay::BOUNDS.nanos().last().map_or(0, |bound| *bound);
        let beyond = self.longest.saturating_sub(most).div_ceil(interval());
        Self { samples: beyond.min(self.samples), ..self }
    }

    /// Their delays together.
    fn sum_nanos(self) -> u64 {
        let less = interval().saturating_mul(self.samples.saturating_sub(1)) / 2;
        self.longest.saturating_sub(less).saturating_mul(self.samples)
    }

    /// Records each. After a standstill of hours most are beyond the bounds, and are recorded at once.
    fn record_in(self, delays: &Histogram) {
        let beyond = self.beyond_bounds();
        delays.record_beyond_bounds(beyond.samples, beyond.sum_nanos());
        // No more than the last bound divided by the interval, unless the clock stood still.
        let most = SchedulingDelay::BOUNDS.nanos().last().map_or(0, |bound| bound / interval() + 1);
        for sample in beyond.samples..self.samples.min(beyond.samples + most) {
            delays.record(self.longest.saturating_sub(sample * interval()));
        }
    }

    fn add_to(self, read: &mut HistogramSnapshot) {
        if let Some(last) = read.buckets.last_mut() {
            *last += self.samples;
            read.sum_nanos += self.sum_nanos();
        }
    }
}

const fn interval() -> u64 {
    SchedulingDelay::INTERVAL.as_nanos() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn above(read: &HistogramSnapshot, seconds: f64) -> u64 {
        let at_most = read
            .cumulative(SchedulingDelay::BOUNDS)
            .find(|(bound, _)| bound.as_secs_f64() == seconds)
            .expect("a bound");
        read.count() - at_most.1
    }

    #[test]
    fn a_shard_that_stands_still_counts_a_sample_for_each_interval() {
        let delay = SchedulingDelay::new();
        delay.record(Nanos(SECOND), 3);
        assert_eq!(delay.snapshot(Nanos(SECOND)).count(), 0, "it has not begun");
        delay.start(Nanos(SECOND));
        delay.record(Nanos(SECOND + 7_000), 1);
        // Two seconds: due at 1.05, 1.10 … 3.05 s.
        delay.record(Nanos(3 * SECOND + SECOND / 20), 41);
        let read = delay.snapshot(Nanos(3 * SECOND + SECOND / 20));
        assert_eq!((read.count(), above(&read, 1.0), above(&read, 0.00001)), (42, 20, 40));
        let sum: u64 = (0..=40).map(|at| at * interval()).sum();
        assert_eq!(read.sum_nanos, 7_000 + sum);
        delay.stop();
        assert_eq!(delay.snapshot(Nanos(1_000 * SECOND)), read, "nothing is due");
    }

    #[test]
    fn a_shard_that_never_runs_again_shows_and_no_count_steps_back_when_it_does() {
        let delay = SchedulingDelay::new();
        delay.start(Nanos(0));
        let mut before = delay.snapshot(Nanos(0));
        for now in (1..=100).map(|at| Nanos(at * SECOND)) {
            let read = delay.snapshot(now);
            let beyond = now.0.saturating_sub(10 * SECOND).div_ceil(interval());
            assert_eq!((read.count(), above(&read, 10.0)), (beyond, beyond), "{now:?}");
            assert!(read.sum_nanos >= before.sum_nanos);
            before = read;
        }
        delay.record(Nanos(100 * SECOND), 2001);
        let read = delay.snapshot(Nanos(100 * SECOND));
        assert!(read.buckets.iter().zip(&before.buckets).all(|(now, before)| now >= before));
        assert_eq!((read.count(), above(&read, 10.0)), (2001, 1800));
        assert_eq!(read.sum_nanos, (0..=2000).map(|at| at * interval()).sum::<u64>());
    }
}
