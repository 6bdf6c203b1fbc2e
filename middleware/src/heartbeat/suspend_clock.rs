//! A monotonic clock that excludes time during which the process was suspended.

use std::time::Duration;

use sync::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

use crate::clock::Nanos;

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
mod sync {
    #[cfg(towline_loom)]
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
    #[cfg(not(towline_loom))]
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

/// How often the watchdog samples the clock.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

/// A gap this long between two samples means that the process was suspended. Twice
/// [`SAMPLE_INTERVAL`], so that a busy thread is not taken for a stopped one.
const SUSPENSION_MIN: Duration = Duration::from_millis(500);

/// No sample was taken yet.
const NEVER: u64 = u64::MAX;

/// Active time: the monotonic clock without the process's own suspensions.
///
/// A process that was stopped (SIGSTOP, a paused container or virtual machine) resumes behind all its
/// deadlines at once: by the monotonic clock every peer has been silent, though none could have been
/// heard. So a watchdog [samples](Self::sample) this clock every `SAMPLE_INTERVAL`. When the last
/// sample is older than `SUSPENSION_MIN`, active time stands still at that sample, until the next one
/// excludes the gap for good.
///
/// Only the watchdog writes. `excluded` is written before `sampled` and read after it, so a reader sees
/// the clock before or after a sample, and both give the same active time.
#[derive(Debug)]
pub struct SuspendClock {
    /// Active time of the last sample.
    sampled: AtomicU64,
    /// Monotonic time minus active time.
    excluded: AtomicU64,
}

impl SuspendClock {
    /// The active time at the monotonic time `now`.
    #[inline]
    pub(super) fn at(&self, now: Nanos) -> Reading {
        let sampled = self.sampled.load(Acquire);
        let active = now.0.saturating_sub(self.excluded.load(Relaxed));
        if active.wrapping_sub(sampled) > SUSPENSION_MIN.as_nanos() as u64 && sampled != NEVER {
            // A suspension that no sample has excluded yet, or a `now` that was read before one.
            return Reading { monotonic: now, active: Nanos(sampled) };
        }
        Reading { monotonic: now, active: Nanos(active) }
    }

    /// The active time alone.
    pub fn active_at(&self, now: Nanos) -> Nanos {
        self.at(now).active
    }

    /// Records that the process runs at the monotonic time `now`.
    pub fn sample(&self, now: Nanos) {
        let active = self.at(now).active;
        self.excluded.store(now.0.saturating_sub(active.0), Relaxed);
        self.sampled.store(active.0, Release);
    }

    /// No more samples follow: active time goes on like the monotonic time.
    pub(super) fn stop_sampling(&self) {
        self.sampled.store(NEVER, Release);
    }
}

impl Default for SuspendClock {
    /// A clock that equals the monotonic one until it is [sampled](Self::sample) first.
    fn default() -> Self {
        Self { sampled: AtomicU64::new(NEVER), excluded: AtomicU64::new(0) }
    }
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub(super) monotonic: Nanos,
    pub(super) active: Nanos,
}

impl Reading {
    /// The monotonic time of a later active time, unless the process is suspended before.
    ///
    /// Counted from this reading: while a suspension is not excluded yet, the difference of the clocks is
    /// not the excluded time.
    pub(super) fn monotonic_at(self, active: Nanos) -> Nanos {
        let wait = active.0.saturating_sub(self.active.0);
        Nanos(self.monotonic.0.saturating_add(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    #[test]
    fn fault_25_a_suspension_is_excluded_once_and_the_clock_goes_on_from_there() {
        let clock = SuspendClock::default();
        for now in (0..=1000).step_by(250) {
            clock.sample(ms(now));
            assert_eq!(clock.active_at(ms(now + 10)), ms(now + 10));
        }
        // After a suspension a connection may run before the watchdog does.
        assert_eq!(clock.active_at(ms(11_000)), ms(1000));
        assert_eq!(clock.at(ms(11_000)).monotonic_at(ms(1500)), ms(11_500));
        clock.sample(ms(11_250));
        assert_eq!(clock.active_at(ms(11_250)), ms(1000));
        assert_eq!(clock.active_at(ms(11_260)), ms(1010));
        clock.sample(ms(60_000));
        assert_eq!(clock.active_at(ms(60_100)), ms(1100));
        assert_eq!(clock.at(ms(60_100)).monotonic_at(ms(1150)), ms(60_150));
    }

    #[test]
    fn fault_25_a_busy_thread_is_not_suspended_and_a_clock_without_samples_never_is() {
        let clock = SuspendClock::default();
        assert_eq!(clock.active_at(ms(1_000_000)), ms(1_000_000));
        clock.sample(ms(1_000_000));
        clock.sample(ms(1_000_500));
        assert_eq!(clock.active_at(ms(1_001_000)), ms(1_001_000));
        clock.stop_sampling();
        assert_eq!(clock.active_at(ms(2_000_000)), ms(2_000_000));
    }

    /// Two numbers used to be published one after the other by whichever thread found the gap: one that
    /// read between them judged its peer by a clock ten minutes ahead.
    #[test]
    fn fault_25_a_reader_between_the_two_stores_of_a_sample_sees_the_same_active_time() {
        let clock = SuspendClock::default();
        clock.sample(ms(1000));
        let before = clock.active_at(ms(601_000));
        // The first store of `sample(601 s)`, without the second.
        clock.excluded.store(ms(600_000).0, Relaxed);
        assert_eq!(clock.active_at(ms(601_000)), before);
        clock.sampled.store(ms(1000).0, Release);
        assert_eq!(clock.active_at(ms(601_000)), before);
        // A thread that read the time, was suspended with the process, and goes on after the sample.
        assert_eq!(clock.active_at(ms(1100)), before);
    }
}
