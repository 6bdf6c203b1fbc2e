//! Points in time, and where they are read from.

use tokio::time::Instant;

/// A point in time, in nanoseconds since a [`Stats`](crate::stats::Stats) began; wraps after 584 years.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Nanos(pub u64);

/// Where a [`Stats`](crate::stats::Stats) reads the time: tokio's clock, or one that is cheaper to read.
///
/// Tokio's clock, which a test can pause, goes through the standard library's `Instant` and
/// `Duration`. That costs a third more than the kernel's clock alone, once a line in ping-pong.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
    /// Another clock, and its reading at the epoch.
    other: Option<(fn() -> u64, u64)>,
}

impl Clock {
    /// A clock that calls `nanos` instead of tokio. Both must advance alike: on Linux `nanos` reads
    /// `CLOCK_MONOTONIC`, clock_gettime(2).
    pub fn read_by(epoch: Instant, nanos: fn() -> u64) -> Self {
        let at_epoch = nanos().saturating_sub(since(epoch, Instant::now()));
        Self { epoch, other: Some((nanos, at_epoch)) }
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        match self.other {
            Some((nanos, at_epoch)) => Nanos(nanos().saturating_sub(at_epoch)),
            None => self.at(Instant::now()),
        }
    }

    /// What the clock behind this one read at `time`: CLOCK_MONOTONIC, if it was made
    /// [by reading that](Self::read_by). Nanoseconds since the epoch on tokio's clock.
    pub fn reading(&self, time: Nanos) -> u64 {
        time.0 + self.other.map_or(0, |(_, at_epoch)| at_epoch)
    }

    #[inline]
    pub(crate) fn at(&self, time: Instant) -> Nanos {
        Nanos(since(self.epoch, time))
    }

    pub(crate) fn instant(&self, time: Nanos) -> Instant {
        self.epoch + std::time::Duration::from_nanos(time.0)
    }
}

/// Tokio's clock, counted from an epoch.
impl From<Instant> for Clock {
    fn from(epoch: Instant) -> Self {
        Self { epoch, other: None }
    }
}

#[inline]
fn since(epoch: Instant, time: Instant) -> u64 {
    time.saturating_duration_since(epoch).as_nanos() as u64
}
