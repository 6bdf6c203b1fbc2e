use std::{
    cell::Cell,
    task::{Poll, ready},
};

/// Whether the call that returned `Pending` last waits for readiness (a permit) and not for its service.
pub(crate) struct Readiness {
    awaited: Cell<bool>,
}

impl Readiness {
    pub(super) const fn new() -> Self {
        Self { awaited: Cell::new(false) }
    }

    /// Polls for readiness, and records it when that is pending.
    #[inline]
    pub(crate) fn poll<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        // Set before and cleared after, so that only a `Pending` leaves it set.
        self.awaited.set(true);
        let ready = ready!(poll());
        self.awaited.set(false);
        Poll::Ready(ready)
    }

    /// Whether readiness is awaited; resets it.
    #[inline]
    pub(crate) fn take_awaited(&self) -> bool {
        self.awaited.take()
    }
}
