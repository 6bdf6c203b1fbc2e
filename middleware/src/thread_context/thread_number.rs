//! A small number for each thread, by which threads have parts of their own in what they share.

use std::cell::Cell;

use sync::{AtomicUsize, Ordering::Relaxed};

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
mod sync {
    #[cfg(towline_loom)]
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};
    #[cfg(not(towline_loom))]
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};
}

/// Threads with numbers of their own. Those above share them.
pub(crate) const THREADS_MAX: usize = if cfg!(towline_loom) { 3 } else { 64 };

/// The number of a thread that has none yet.
const NONE: usize = usize::MAX;

#[cfg(not(towline_loom))]
static NEXT: AtomicUsize = AtomicUsize::new(0);
#[cfg(towline_loom)]
loom::lazy_static! { static ref NEXT: AtomicUsize = AtomicUsize::new(0); }

#[cfg(not(towline_loom))]
thread_local! { static NUMBER: Cell<usize> = const { Cell::new(NONE) }; }
#[cfg(towline_loom)]
loom::thread_local! { static NUMBER: Cell<usize> = Cell::new(NONE); }

/// This thread's number, below [`THREADS_MAX`], if it has one.
#[inline]
pub(crate) fn known_thread_number() -> Option<usize> {
    let number = NUMBER.with(Cell::get);
    (number < THREADS_MAX).then_some(number)
}

/// This thread's number, below [`THREADS_MAX`]: threads are numbered when they ask first.
#[cold]
pub(crate) fn thread_number() -> usize {
    known_thread_number().unwrap_or_else(|| {
        let number = NEXT.fetch_add(1, Relaxed) % THREADS_MAX;
        NUMBER.with(|cell| cell.set(number));
        number
    })
}
