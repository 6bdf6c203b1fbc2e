use tokio::time::Instant;

use crate::stats::Nanos;

/// Where a [`Stats`](super::Stats) reads the time: tokio's clock, or one that is cheaper to read.
///
/// Tokio's, which a test can pause, goes through the standard library's `Instant` and `Duration`. That costs a
/// third more than the kernel's clock alone, once for each line in ping-pong.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: Instant,
    /// Another, and what it showed at the epoch.
    other: Option<(fn() -> u64, u64)>,
}

impl Clock {
    /// Reads `nanos` in the place of tokio's clock. Both must go on alike: on Linux that is
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

    #[inline]
    pub(crate) fn at(&self, time: Instant) -> Nanos {
        Nanos(since(self.epoch, time))
    }

    pub(crate) fn instant(&self, time: Nanos) -> Instant {
        self.epoch + std::time::Duration::from_nanos(time.0)
    }
}

/// Tokio's clock, from an epoch on.
impl From<Instant> for Clock {
    fn from(epoch: Instant) -> Self {
        Self { epoch, other: None }
    }
}

#[inline]
fn since(epoch: Instant, time: Instant) -> u64 {
    time.saturating_duration_since(epoch).as_nanos() as u64
}
