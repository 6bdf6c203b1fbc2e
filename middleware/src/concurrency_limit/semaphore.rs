//! The permits of a concurrency limit.

use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll, Waker},
};

use slab::Slab;
use sync::{AtomicUsize, Mutex, MutexGuard, Ordering::SeqCst};

/// What the model checker puts its own in the place of; see `tests/loom.rs`.
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

/// How many calls a [`Limit`](crate::Limit) lets in at a time; limits that share one count together.
///
/// The limit can be changed while permits are out. Lowering it takes none back: calls that were let
/// in go on, and no others are until enough of those are done.
///
/// Taking a permit and giving it back are two locked instructions each as long as nobody waits; a
/// semaphore that can do more than this, such as tokio's, takes a lock to give back.
pub struct Permits {
    limit: AtomicUsize,
    taken: AtomicUsize,
    /// As many as stand in line, for those who look without the line's lock.
    waiting: AtomicUsize,
    line: Mutex<Line>,
}

/// Those who wait, at most one for each call: first come, first served.
#[derive(Default)]
struct Line {
    places: Slab<Place>,
    order: VecDeque<usize>,
}

enum Place {
    Waits(Waker),
    /// A permit was taken for it. It has left the order, and will come for it.
    Granted,
}

impl Permits {
    /// So many calls at a time.
    pub fn new(limit: usize) -> Self {
        let [limit, taken, waiting] = [limit, 0, 0].map(AtomicUsize::new);
        Self { limit, taken, waiting, line: Mutex::default() }
    }

    /// Most permits that are out at a time.
    pub fn limit(&self) -> usize {
        self.limit.load(SeqCst)
    }

    /// Permits that are out; more than the limit if that was lowered since.
    pub fn in_use(&self) -> usize {
        self.taken.load(SeqCst)
    }

    /// Changes the limit; lets in who waits if it is higher.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit, SeqCst);
        self.grant();
    }

    /// Takes one, unless there is none or others came first.
    #[inline]
    pub(crate) fn try_take(&self) -> bool {
        self.waiting.load(SeqCst) == 0 && self.take()
    }

    #[inline]
    fn take(&self) -> bool {
        let limit = self.limit();
        self.taken.fetch_update(SeqCst, SeqCst, |taken| (taken < limit).then(|| taken + 1)).is_ok()
    }

    /// Gives back one that was taken.
    #[inline]
    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, SeqCst);
        // Who came into line before this look is seen, and who comes after it sees the permit.
        if self.waiting.load(SeqCst) > 0 {
            self.grant();
        }
    }

    /// Takes one, in its turn. The caller keeps `place` and, if it gives up, [leaves](Self::leave).
    pub(crate) fn poll_take(&self, place: &mut Option<usize>, cx: &Context<'_>) -> Poll<()> {
        let key = *place.get_or_insert_with(|| {
            let key = self.line().enter(cx.waker().clone());
            self.waiting.fetch_add(1, SeqCst);
            self.grant();
            key
        });
        let mut line = self.line();
        match &mut line.places[key] {
            Place::Waits(waker) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            Place::Granted => {
                line.places.remove(key);
                *place = None;
                Poll::Ready(())
            }
        }
    }

    /// Gives a place in line up, and what was granted to it.
    pub(crate) fn leave(&self, place: usize) {
        let mut line = self.line();
        if let Place::Granted = line.places.remove(place) {
            drop(line);
            return self.give_back();
        }
        // Those who give up have mostly waited longest, so this is short.
        if let Some(at) = line.order.iter().position(|&key| key == place) {
            line.order.remove(at);
        }
        self.waiting.fetch_sub(1, SeqCst);
    }

    /// Takes permits for those in front, as long as there are any.
    #[cold]
    fn grant(&self) {
        while let Some(waker) = self.grant_one() {
            waker.wake();
        }
    }

    fn grant_one(&self) -> Option<Waker> {
        let mut line = self.line();
        let &first = line.order.front()?;
        if !self.take() {
            return None;
        }
        line.order.pop_front();
        self.waiting.fetch_sub(1, SeqCst);
        match std::mem::replace(&mut line.places[first], Place::Granted) {
            Place::Waits(waker) => Some(waker),
            Place::Granted => None,
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // Cloning a waker may panic under this lock, which then changed nothing yet.
        self.line.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Line {
    fn enter(&mut self, waker: Waker) -> usize {
        let key = self.places.insert(Place::Waits(waker));
        self.order.push_back(key);
        key
    }
}

impl fmt::Debug for Permits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permits")
            .field("limit", &self.limit())
            .field("in_use", &self.in_use())
            .finish_non_exhaustive()
    }
}
