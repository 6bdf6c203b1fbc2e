//! The permits of a concurrency limit.

use std::{
    fmt,
    sync::{Arc, PoisonError, Weak},
    task::{Context, Poll},
};

use super::{
    permit_cell::{PERMITS_MAX, Permit, PermitCell, Refusal},
    sync::{Mutex, MutexGuard, OnceLock},
    wait_queue::WaitQueue,
};
use crate::thread_context::{THREADS_MAX, known_thread_number, thread_number};

/// How many calls a [`ConcurrencyLimit`](crate::ConcurrencyLimit) serves at a time. Limits that share one
/// count together.
///
/// The limit can change while permits are out. Lowering it takes none back: calls in progress go on, and
/// no others are let in until enough of them are done. Waiting calls are let in first come, first served,
/// and none waits while a permit is free.
///
/// A released permit stays with the thread that acquired it, which finds it there for its next call; a
/// thread without one takes any other thread's. *Costs*: two locked instructions to acquire a permit and two
/// to release it, all of a cache line that no other thread writes, as long as each thread finds permits of
/// its own. While calls wait, a lock for each permit. Above 64 threads, some share such a line.
// Permits are free in a cell, in use, or, while cells are closed, part of the surplus.
//
// Cells are closed while calls wait, or while more permits are in use than the limit: all permits then come
// to the surplus, which is given to the calls that wait. Every change between open and closed, and
// everything that is done to a closed cell but adding to it, is done under the lock.
pub struct Semaphore {
    /// By the number of the thread. Written once for each thread, so all may read it at no cost.
    cells: [OnceLock<Arc<PermitCell>>; THREADS_MAX],
    /// Permits that no thread has used yet, or that were left over when calls had waited.
    rest: PermitCell,
    state: OnItsOwnLine<Mutex<State>>,
}

#[repr(align(128))]
struct OnItsOwnLine<T>(T);

struct State {
    limit: usize,
    closed: bool,
    /// Permits for calls that wait; below zero, permits in use above the limit. Zero while cells are open.
    surplus: isize,
    queue: WaitQueue,
}

impl Semaphore {
    /// A semaphore of `limit` permits.
    pub fn new(limit: usize) -> Self {
        let limit = limit.min(PERMITS_MAX);
        let state = State { limit, closed: false, surplus: 0, queue: WaitQueue::new() };
        Self {
            cells: std::array::from_fn(|_| OnceLock::new()),
            // Permits are taken from it and not released to it, so it need not know whose it is.
            rest: PermitCell::new(limit, false, Weak::new()),
            state: OnItsOwnLine(Mutex::new(state)),
        }
    }

    /// Most permits that are in use at a time.
    pub fn limit(&self) -> usize {
        self.state().limit
    }

    /// Permits that are in use; more than the limit if that was lowered since. *Costs*: a lock, and a cache
    /// miss for each thread that uses the semaphore. While other threads acquire permits, some that are
    /// handed from one to another may not be counted.
    pub fn in_use(&self) -> usize {
        let state = self.state();
        let free: usize = self.each_cell().map(PermitCell::free).sum();
        // Below zero if a permit was counted as free in two cells.
        (state.limit as isize - state.surplus).saturating_sub_unsigned(free).max(0) as usize
    }

    /// Changes the limit. A higher one lets waiting calls in.
    pub fn set_limit(&self, limit: usize) {
        let limit = limit.min(PERMITS_MAX);
        self.settle(|state| {
            self.close(state);
            state.surplus += limit as isize - state.limit as isize;
            state.limit = limit;
        });
    }

    /// Acquires a permit, unless there is none or other calls wait.
    #[inline]
    pub(super) fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        let cell = self.own_cell();
        let taken = match cell.take() {
            Ok(()) => true,
            Err(Refusal::Empty) => self.take_any(),
            Err(Refusal::Closed) => false,
        };
        taken.then(|| Permit(cell.clone()))
    }

    /// Takes a permit from any cell.
    #[cold]
    fn take_any(&self) -> bool {
        let mut taken = self.each_cell().map(PermitCell::take);
        taken.find(|taken| *taken != Err(Refusal::Empty)) == Some(Ok(()))
    }

    /// Acquires a permit in the order of the queue. The caller keeps `waiter` and, if it gives up,
    /// [cancels](Self::cancel) it.
    pub(super) fn poll_acquire(
        self: &Arc<Self>,
        waiter: &mut Option<usize>,
        cx: &Context<'_>,
    ) -> Poll<Permit> {
        let cell = self.own_cell();
        let acquired = match *waiter {
            None => {
                *waiter = self.enqueue(cx);
                waiter.is_none()
            }
            Some(key) => self.state().queue.take_granted(key, cx.waker()),
        };
        if acquired {
            *waiter = None;
            return Poll::Ready(Permit(cell.clone()));
        }
        Poll::Pending
    }

    /// Adds the caller to the queue. Returns `None` if it acquired a permit instead.
    fn enqueue(&self, cx: &Context<'_>) -> Option<usize> {
        let waker = cx.waker().clone();
        let mut state = self.state();
        // From here on a permit that is released is seen under the lock.
        self.close(&mut state);
        if state.surplus > 0 && state.queue.is_empty() {
            state.surplus -= 1;
            self.open(&mut state);
            return None;
        }
        Some(state.queue.push(waker))
    }

    /// Removes a waiter from the queue and releases the permit that was granted to it, if any.
    pub(super) fn cancel(&self, waiter: usize) {
        self.settle(|state| {
            if state.queue.remove(waiter) {
                state.surplus += 1;
            }
        });
    }

    /// Takes permits that were added to a closed cell, for the calls that wait.
    pub(super) fn collect(&self, cell: &PermitCell) {
        self.settle(|state| {
            if state.closed {
                state.surplus += cell.close() as isize;
            }
        });
    }

    /// Changes the state, grants what is then free to the calls that wait longest, and opens the cells if
    /// none waits any more.
    fn settle(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        while state.surplus > 0
            && let Some(waker) = state.queue.grant_first()
        {
            state.surplus -= 1;
            // Waking runs code that is not ours.
            drop(state);
            waker.wake();
            state = self.state();
        }
        self.open(&mut state);
    }

    /// Closes all cells and takes their permits.
    fn close(&self, state: &mut State) {
        if !state.closed {
            state.closed = true;
            state.surplus += self.each_cell().map(PermitCell::close).sum::<usize>() as isize;
        }
    }

    /// Opens the cells, and leaves the surplus in one of them, unless there is a reason to be closed.
    fn open(&self, state: &mut State) {
        if state.surplus < 0 || !state.queue.is_empty() {
            return;
        }
        self.rest.add(std::mem::take(&mut state.surplus) as usize);
        if std::mem::take(&mut state.closed) {
            self.each_cell().for_each(PermitCell::open);
        }
    }

    /// The cell of this thread.
    #[inline]
    fn own_cell(self: &Arc<Self>) -> &Arc<PermitCell> {
        match known_thread_number().and_then(|number| self.cells[number].get()) {
            Some(cell) => cell,
            None => self.new_cell(),
        }
    }

    #[cold]
    fn new_cell(self: &Arc<Self>) -> &Arc<PermitCell> {
        let cell = &self.cells[thread_number()];
        // Under the lock, so that the cell is closed if the others are.
        let state = self.state();
        cell.get_or_init(|| Arc::new(PermitCell::new(0, state.closed, Arc::downgrade(self))))
    }

    fn each_cell(&self) -> impl Iterator<Item = &PermitCell> {
        let cells = self.cells.iter().filter_map(OnceLock::get);
        std::iter::once(&self.rest).chain(cells.map(|cell| &**cell))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Cloning a waker may panic under this lock, which then changed nothing yet.
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
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
