//! The permits of a concurrency limit.

use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll, Waker},
};

use slab::Slab;
use sync::{AtomicUsize, Mutex, MutexGuard, Ordering::SeqCst};

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
mod sync {
    #[cfg(towline_loom)]
    pub(super) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    };
    #[cfg(not(towline_loom))]
    pub(super) use std::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    };
}

/// How many calls a [`ConcurrencyLimit`](crate::ConcurrencyLimit) serves at a time. Limits that share one
/// count together.
///
/// The limit can change while permits are out. Lowering it takes none back: calls in progress go on, and
/// no others are let in until enough of them are done. Waiting calls are let in first come, first served.
///
/// *Costs*: two locked instructions to acquire a permit and two to release it, as long as no call waits. A
/// semaphore that can do more, such as tokio's, takes a lock to release.
pub struct Semaphore {
    limit: AtomicUsize,
    in_use: AtomicUsize,
    /// Length of the queue, readable without its lock.
    waiting: AtomicUsize,
    queue: Mutex<WaitQueue>,
}

/// Waiting calls, each at most once.
#[derive(Default)]
struct WaitQueue {
    waiters: Slab<Waiter>,
    order: VecDeque<usize>,
}

enum Waiter {
    Waiting(Waker),
    /// A permit was acquired for this call. It has left the order, and will take the permit when polled.
    Granted,
}

impl Semaphore {
    /// A semaphore of `limit` permits.
    pub fn new(limit: usize) -> Self {
        let [limit, in_use, waiting] = [limit, 0, 0].map(AtomicUsize::new);
        Self { limit, in_use, waiting, queue: Mutex::default() }
    }

    /// Most permits that are out at a time.
    pub fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// Permits that are out; more than the limit if that was lowered since.
    pub fn in_use(&self) -> usize {
        self.in_use.load(SeqCst)
    }

    /// Changes the limit. A higher one lets waiting calls in.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, SeqCst);
        self.grant();
    }

    /// Acquires a permit, unless there is none or other calls wait.
    #[inline]
    pub(crate) fn try_acquire(&self) -> bool {
        self.waiting.load(SeqCst) == 0 && self.try_acquire_free()
    }

    #[inline]
    fn try_acquire_free(&self) -> bool {
        let limit = self.limit();
        self.in_use
            .fetch_update(SeqCst, SeqCst, |in_use| (in_use < limit).then(|| in_use + 1))
            .is_ok()
    }

    /// Releases a permit.
    #[inline]
    pub(crate) fn release(&self) {
        self.in_use.fetch_sub(1, SeqCst);
        // A call that queued before this load is seen here, and one that queues after it sees the permit.
        if self.waiting.load(SeqCst) > 0 {
            self.grant();
        }
    }

    /// Acquires a permit in the order of the queue. The caller keeps `waiter` and, if it gives up,
    /// [cancels](Self::cancel) it.
    pub(crate) fn poll_acquire(&self, waiter: &mut Option<usize>, cx: &Context<'_>) -> Poll<()> {
        let key = *waiter.get_or_insert_with(|| {
            let key = self.queue().push(cx.waker().clone());
            self.waiting.fetch_add(1, SeqCst);
            self.grant();
            key
        });
        let mut queue = self.queue();
        match &mut queue.waiters[key] {
            Waiter::Waiting(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            Waiter::Granted => {
                queue.waiters.remove(key);
                *waiter = None;
                Poll::Ready(())
            }
        }
    }

    /// Removes a waiter from the queue and releases the permit that was granted to it, if any.
    pub(crate) fn cancel(&self, waiter: usize) {
        let mut queue = self.queue();
        if let Waiter::Granted = queue.waiters.remove(waiter) {
            drop(queue);
            return self.release();
        }
        // Calls that give up have mostly waited longest, so the search is short.
        if let Some(at) = queue.order.iter().position(|&key| key == waiter) {
            queue.order.remove(at);
        }
        self.waiting.fetch_sub(1, SeqCst);
    }

    /// Acquires permits for the front of the queue, as long as there are any.
    #[cold]
    fn grant(&self) {
        while let Some(waker) = self.grant_one() {
            waker.wake();
        }
    }

    fn grant_one(&self) -> Option<Waker> {
        let mut queue = self.queue();
        let &first = queue.order.front()?;
        if !self.try_acquire_free() {
            return None;
        }
        queue.order.pop_front();
        self.waiting.fetch_sub(1, SeqCst);
        match std::mem::replace(&mut queue.waiters[first], Waiter::Granted) {
            Waiter::Waiting(waker) => Some(waker),
            Waiter::Granted => None,
        }
    }

    fn queue(&self) -> MutexGuard<'_, WaitQueue> {
        // Cloning a waker may panic under this lock, which then changed nothing yet.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl WaitQueue {
    fn push(&mut self, waker: Waker) -> usize {
        let key = self.waiters.insert(Waiter::Waiting(waker));
        self.order.push_back(key);
        key
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Semaphore")
            .field("limit", &self.limit())
            .field("in_use", &self.in_use())
            .finish_non_exhaustive()
    }
}
