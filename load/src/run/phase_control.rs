//! What every lane of a process shares: when the phases begin, and a way to be woken for news.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::error::LoadError;

/// "Not decided yet."
const NEVER: u64 = u64::MAX;

/// The moments at which phases begin, set once by whoever leads the run and read by every lane.
#[derive(Debug)]
pub(crate) struct Control {
    steady_at: AtomicU64,
    stop_at: AtomicU64,
    wake: OwnedFd,
}

impl Control {
    pub(crate) fn new() -> Result<Self, LoadError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| LoadError::failed(format!("no descriptor left to begin with: {e}")))?;
        Ok(Self { steady_at: AtomicU64::new(NEVER), stop_at: AtomicU64::new(NEVER), wake })
    }

    /// The ramp is over at `at`, and the load ends at `stop`.
    pub(crate) fn steady(&self, at: u64, stop: u64) {
        self.stop_at.fetch_min(stop, Ordering::AcqRel);
        self.steady_at.store(at, Ordering::Release);
        self.wake();
    }

    /// The load ends at `at`, whatever was said before.
    pub(crate) fn stop(&self, at: u64) {
        self.stop_at.fetch_min(at, Ordering::AcqRel);
        self.wake();
    }

    /// When the ramp is over; far away while nobody knows.
    pub(crate) fn steady_at(&self) -> u64 {
        self.steady_at.load(Ordering::Acquire)
    }

    /// When the load ends; far away while nobody knows.
    pub(crate) fn stop_at(&self) -> u64 {
        self.stop_at.load(Ordering::Acquire)
    }

    fn wake(&self) {
        // Full only after 2^64 wakes: nothing a lane could miss.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
