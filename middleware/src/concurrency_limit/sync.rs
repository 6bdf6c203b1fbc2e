//! The types that the model checker replaces with its own; see `tests/loom.rs`.

#[cfg(not(towline_loom))]
pub(super) use std::sync::{
    Mutex, MutexGuard, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

#[cfg(towline_loom)]
pub(super) use {
    loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    once_lock::OnceLock,
};

/// The standard library's, with the orderings of its first write known to the model checker.
#[cfg(towline_loom)]
mod once_lock {
    use loom::sync::atomic::{
        AtomicBool,
        Ordering::{Acquire, Release},
    };

    pub(in super::super) struct OnceLock<T> {
        written: AtomicBool,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(in super::super) fn new() -> Self {
            Self { written: AtomicBool::new(false), value: std::sync::OnceLock::new() }
        }

        pub(in super::super) fn get(&self) -> Option<&T> {
            if self.written.load(Acquire) { self.value.get() } else { None }
        }

        pub(in super::super) fn get_or_init(&self, value: impl FnOnce() -> T) -> &T {
            let value = self.value.get_or_init(value);
            self.written.store(true, Release);
            value
        }
    }
}
