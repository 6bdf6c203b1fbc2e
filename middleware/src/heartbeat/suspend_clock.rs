//! Time as peers are held to it: what the server stood still is not in it.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use crate::stats::Nanos;

/// How often somebody looks whether time goes on.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Nobody having looked for so long is a standstill. Twice as long as one looks anew, so that a
/// thread with much to do is not taken for one that is stopped.
const STANDSTILL: Duration = Duration::from_millis(500);

/// Nobody looks.
const NEVER: u64 = u64::MAX;

/// A clock without the server's own standstills.
///
/// A process that was stopped, or a host that was suspended, wakes up behind all its deadlines at
/// once: by the usual clock every peer has been silent, though none could have been heard. So
/// somebody looks at this clock every [`LOOK_EVERY`]. Whoever reads it and finds that nobody did for
/// longer than [`STANDSTILL`] takes that time out, before any deadline is judged.
#[derive(Debug)]
pub(super) struct PeerTime {
    looked_at: AtomicU64,
    stood_still: AtomicU64,
    standstills: AtomicU32,
}

impl PeerTime {
    /// One that runs like the usual clock as long as nobody [looks](Self::look).
    pub(super) const fn new() -> Self {
        Self {
            looked_at: AtomicU64::new(NEVER),
            stood_still: AtomicU64::new(0),
            standstills: AtomicU32::new(0),
        }
    }

    /// What it shows when the usual clock shows `now`.
    #[inline]
    pub(super) fn at(&self, now: Nanos) -> Nanos {
        let looked_at = self.looked_at.load(Relaxed);
        if now.0.saturating_sub(looked_at) > STANDSTILL.as_nanos() as u64 {
            self.take_out(looked_at, now);
        }
        Nanos(now.0.saturating_sub(self.stood_still.load(Relaxed)))
    }

    /// What the usual clock shows when this one shows `time`, unless the server stands still
    /// before.
    pub(super) fn usual(&self, time: Nanos) -> Nanos {
        Nanos(time.0.saturating_add(self.stood_still.load(Relaxed)))
    }

    /// How often that changed: timers that were armed before fire too early.
    #[inline]
    pub(super) fn standstills(&self) -> u32 {
        self.standstills.load(Relaxed)
    }

    /// Notes that the usual clock goes on.
    pub(super) fn look(&self, now: Nanos) {
        // The first look has nothing to compare with.
        if self.looked_at.load(Relaxed) != NEVER {
            self.at(now);
        }
        self.looked_at.store(now.0, Relaxed);
    }

    #[cold]
    fn take_out(&self, looked_at: u64, now: Nanos) {
        // One of several threads that find the same standstill.
        if self.looked_at.compare_exchange(looked_at, now.0, Relaxed, Relaxed).is_ok() {
            self.stood_still.fetch_add(now.0 - looked_at, Relaxed);
            self.standstills.fetch_add(1, Relaxed);
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
        let time = PeerTime::new();
        for now in (0..=1000).step_by(250) {
            time.look(ms(now));
            assert_eq!(time.at(ms(now + 10)), ms(now + 10));
        }
        // A connection's timer may be first to run after the standstill, or the one who looks.
        assert_eq!(time.at(ms(11_000)), ms(1000));
        assert_eq!(time.at(ms(11_001)), ms(1001));
        time.look(ms(11_250));
        assert_eq!(time.at(ms(11_260)), ms(1260));
        time.look(ms(60_000));
        assert_eq!(time.at(ms(60_100)), ms(1350));
        assert_eq!(time.usual(ms(1350)), ms(60_100));
    }

    #[test]
    fn fault_25_a_thread_with_much_to_do_does_not_stand_still_and_without_a_look_nothing_does() {
        let time = PeerTime::new();
        assert_eq!(time.at(ms(1_000_000)), ms(1_000_000));
        time.look(ms(1_000_000));
        time.look(ms(1_000_500));
        assert_eq!(time.at(ms(1_001_000)), ms(1_001_000));
    }
}
