//! When the phases of a run begin, shared by all event loops of a process.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::event::{EventfdFlags, eventfd};

use crate::error::LoadError;

/// The time of a phase that is not decided yet.
const UNDECIDED: u64 = u64::MAX;

/// The times at which phases begin, set by the leader of the run and read by every event loop. Its
/// descriptor, an eventfd, wakes the loops when a time changes.
#[derive(Debug)]
pub(crate) struct PhaseControl {
    steady_at: AtomicU64,
    stop_at: AtomicU64,
    published: OnceLock<Vec<Option<u64>>>,
    wake: OwnedFd,
}

impl PhaseControl {
    pub(crate) fn new() -> Result<Self, LoadError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|e| LoadError::failed(format!("no descriptor left for an eventfd: {e}")))?;
        Ok(Self {
            steady_at: AtomicU64::new(UNDECIDED),
            stop_at: AtomicU64::new(UNDECIDED),
            published: OnceLock::new(),
            wake,
        })
    }

    /// Sets the end of the ramp to `at`, and the end of the load to `stop` unless it ends earlier.
    pub(crate) fn steady(&self, at: u64, stop: u64) {
        self.stop_at.fetch_min(stop, Ordering::AcqRel);
        self.steady_at.store(at, Ordering::Release);
        self.wake();
    }

    /// Sets the end of the load to `at` unless it ends earlier.
    pub(crate) fn stop(&self, at: u64) {
        self.stop_at.fetch_min(at, Ordering::AcqRel);
        self.wake();
    }

    /// Sets how many messages each publisher of a fan-out has sent.
    pub(crate) fn set_published(&self, messages: Vec<Option<u64>>) {
        // The leader sets it once.
        let _ = self.published.set(messages);
        self.wake();
    }

    /// How many messages each publisher has sent, `None` where that is unknown; `None` as long as some
    /// still send.
    pub(crate) fn published(&self) -> Option<&[Option<u64>]> {
        self.published.get().map(Vec::as_slice)
    }

    /// When the ramp ends; `u64::MAX` if that is undecided.
    pub(crate) fn steady_at(&self) -> u64 {
        self.steady_at.load(Ordering::Acquire)
    }

    /// When the load ends; `u64::MAX` if that is undecided.
    pub(crate) fn stop_at(&self) -> u64 {
        self.stop_at.load(Ordering::Acquire)
    }

    fn wake(&self) {
        // Fails only after 2^64 wakes.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }
}

impl AsFd for PhaseControl {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}
