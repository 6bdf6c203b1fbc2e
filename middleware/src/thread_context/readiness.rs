use std::{cell::Cell, task::Poll};

/// Whether a call that was polled since the flag was reset waits for readiness (a permit) and not for its
/// service.
///
/// Of several calls in one task, as in a `join!`, one is enough. A call that is not polled again when its
/// task is, as in a `FuturesUnordered`, does not count unless its owner [says so](Self::set_awaited): only the
/// state in the metrics depends on it.
pub(crate) struct Readiness {
    awaited: Cell<bool>,
    /// It waits for room for what it pushed.
    room_awaited: Cell<bool>,
}

impl Readiness {
    pub(super) const fn new() -> Self {
        Self { awaited: Cell::new(false), room_awaited: Cell::new(false) }
    }

    /// Polls for readiness, and records it when that is pending.
    #[inline]
    pub(crate) fn poll<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        let ready = poll();
        if ready.is_pending() {
            self.awaited.set(true);
        }
        ready
    }

    /// Records that a call which was not polled this time waits for readiness.
    pub(crate) fn set_awaited(&self) {
        self.awaited.set(true);
    }

    /// Whether readiness is awaited; resets it.
    #[inline]
    pub(crate) fn take_awaited(&self) -> bool {
        self.awaited.take()
    }

    /// Records that a call waits for room for what it pushed.
    pub(crate) fn set_room_awaited(&self) {
        self.room_awaited.set(true);
    }

    /// Whether room is awaited; resets it.
    pub(crate) fn take_room_awaited(&self) -> bool {
        self.room_awaited.take()
    }
}
