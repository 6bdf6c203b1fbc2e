//! Time as peers are held to it: what the server stood still is not in it.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::stats::Nanos;

/// How often somebody looks whether time goes on.
pub(super) const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);

/// Nobody having looked for so long is a standstill. Twice as long as one looks anew, so that a
/// thread with much to do is not taken for one that is stopped.
const SUSPENSION_MIN: Duration = Duration::from_millis(500);

/// Nobody looks.
const NEVER: u64 = u64::MAX;

/// A clock without the server's own suspensions.
///
/// A process that was stopped, or a host that was suspended, wakes up behind all its deadlines at
/// once: by the usual clock every peer has been silent, though none could have been heard. So
/// somebody looks at this clock every [`SAMPLE_INTERVAL`]. Whoever reads it and finds that nobody did for
/// longer than [`SUSPENSION_MIN`] takes that time out, before any deadline is judged.
#[derive(Debug)]
pub(super) struct SuspendClock {
    sampled_at: AtomicU64,
    suspended_nanos: AtomicU64,
    suspensions: AtomicU32,
}

impl SuspendClock {
    /// One that runs like the usual clock as long as nobody [looks](Self::sample).
    pub(super) const fn new() -> Self {
        Self {
            sampled_at: AtomicU64::new(NEVER),
            suspended_nanos: AtomicU64::new(0),
            suspensions: AtomicU32::new(0),
        }
    }

    /// What it shows when the usual clock shows `now`.
    #[inline]
    pub(super) fn active_at(&self, now: Nanos) -> Nanos {
        let sampled_at = self.sampled_at.load(Relaxed);
        if now.0.saturating_sub(sampled_at) > SUSPENSION_MIN.as_nanos() as u64 {
            self.exclude(sampled_at, now);
        }
        Nanos(now.0.saturating_sub(self.suspended_nanos.load(Relaxed)))
    }

    /// What the usual clock shows when this one shows `time`, unless the server stands still
    /// before.
    pub(super) fn monotonic_at(&self, time: Nanos) -> Nanos {
        Nanos(time.0.saturating_add(self.suspended_nanos.load(Relaxed)))
    }

    /// How often that changed: timers that were armed before fire too early.
    #[inline]
    pub(super) fn suspensions(&self) -> u32 {
        self.suspensions.load(Relaxed)
    }

    /// Notes that the usual clock goes on.
    pub(super) fn sample(&self, now: Nanos) {
        // The first look has nothing to compare with.
        if self.sampled_at.load(Relaxed) != NEVER {
            self.active_at(now);
        }
        self.sampled_at.store(now.0, Relaxed);
    }

    #[cold]
    fn exclude(&self, sampled_at: u64, now: Nanos) {
        // One of several threads that find the same standstill.
        if self.sampled_at.compare_exchange(sampled_at, now.0, Relaxed, Relaxed).is_ok() {
            self.suspended_nanos.fetch_add(now.0 - sampled_at, Relaxed);
            self.suspensions.fetch_add(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Nanos {
        Nanos(ms * 1_000_000)
    }

    #[test]
    fn fault_25_a_standstill_is_taken_out_once_and_the_clock_goes_on_from_there() {
        let clock = SuspendClock::new();
        for now in (0..=1000).step_by(250) {
            clock.sample(ms(now));
            assert_eq!(clock.active_at(ms(now + 10)), ms(now + 10));
        }
        // A connection's timer may be first to run after the standstill, or the one who looks.
        assert_eq!(clock.active_at(ms(11_000)), ms(1000));
        assert_eq!(clock.active_at(ms(11_001)), ms(1001));
        clock.sample(ms(11_250));
        assert_eq!(clock.active_at(ms(11_260)), ms(1260));
        clock.sample(ms(60_000));
        assert_eq!(clock.active_at(ms(60_100)), ms(1350));
        assert_eq!(clock.monotonic_at(ms(1350)), ms(60_100));
    }

    #[test]
    fn fault_25_a_thread_with_much_to_do_does_not_stand_still_and_without_a_look_nothing_does() {
        let clock = SuspendClock::new();
        assert_eq!(clock.active_at(ms(1_000_000)), ms(1_000_000));
        clock.sample(ms(1_000_000));
        clock.sample(ms(1_000_500));
        assert_eq!(clock.active_at(ms(1_001_000)), ms(1_001_000));
    }
}
