use std::{
    cell::RefCell,
    collections::VecDeque,
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    thread::LocalKey,
};

use tokio::task::yield_now;

/// A FIFO of wakers of this thread, while a driver runs that wakes them.
///
/// Each connection has at most one entry, so the queue is never longer than the shard has connections:
/// one that something else wakes meanwhile sees by its [`Ticket`] that it is still in the queue.
pub(crate) struct WakerQueue {
    /// `None` while no driver runs.
    queue: RefCell<Option<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waker>,
    /// Entries that have left the queue, wrapping: the position of the first.
    first: u32,
    driver: Option<Waker>,
}

/// A task's place in the queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    position: u32,
    queued: bool,
}

impl Ticket {
    /// No place.
    pub(crate) const NONE: Self = Self { position: 0, queued: false };

    /// Whether this is a place, even if its turn has come since.
    #[inline]
    pub(crate) const fn is_some(self) -> bool {
        self.queued
    }
}

impl WakerQueue {
    pub(super) const fn new() -> Self {
        Self { queue: RefCell::new(None) }
    }

    /// Adds the task of `cx`, which the driver wakes in its turn. While no driver runs, the task is woken
    /// after the other runnable tasks have run.
    pub(crate) fn push(&self, cx: &mut Context<'_>) -> Ticket {
        let (driver, ticket) = match &mut *self.queue.borrow_mut() {
            None => {
                defer_wake(cx);
                return Ticket::NONE;
            }
            Some(queue) => {
                let position = queue.first.wrapping_add(queue.waiting.len() as u32);
                queue.waiting.push_back(cx.waker().clone());
                (queue.driver.take(), Ticket { position, queued: true })
            }
        };
        driver.into_iter().for_each(Waker::wake);
        ticket
    }

    /// Whether a task that got this ticket on this thread is still to be woken.
    pub(crate) fn holds(&self, ticket: Ticket) -> bool {
        let queue = self.queue.borrow();
        let Some(queue) = &*queue else { return false };
        let before = ticket.position.wrapping_sub(queue.first);
        ticket.queued && (before as usize) < queue.waiting.len()
    }

    /// Whether a driver runs.
    pub(crate) fn has_driver(&self) -> bool {
        self.queue.borrow().is_some()
    }

    fn pop(&self) -> Option<Waker> {
        let mut queue = self.queue.borrow_mut();
        let queue = queue.as_mut()?;
        let waker = queue.waiting.pop_front()?;
        queue.first = queue.first.wrapping_add(1);
        Some(waker)
    }

    fn len(&self) -> usize {
        self.queue.borrow().as_ref().map_or(0, |queue| queue.waiting.len())
    }
}

/// Wakes the task of `cx` after the other runnable tasks have run, without a place in a queue.
///
/// A task that wakes itself does not yield: tokio polls the I/O driver only every 61 task polls then. Its
/// `yield_now` defers the wake-up until the driver was polled.
pub(crate) fn defer_wake(cx: &mut Context<'_>) {
    let yielded = pin!(yield_now()).poll(cx);
    debug_assert!(yielded.is_pending());
}

/// The right to wake the tasks of one [`WakerQueue`]; its tasks are woken when it is dropped.
pub(crate) struct QueueDriver(&'static LocalKey<WakerQueue>);

impl QueueDriver {
    /// Opens this thread's queue. Returns `None` if it has a driver already.
    pub(crate) fn new(queue: &'static LocalKey<WakerQueue>) -> Option<Self> {
        queue.with(|queue| {
            let mut slot = queue.queue.borrow_mut();
            slot.is_none().then(|| *slot = Some(Queue::default()))
        })?;
        Some(Self(queue))
    }

    /// Ready when a task waits.
    pub(crate) fn poll_nonempty(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.with(|queue| match &mut *queue.queue.borrow_mut() {
            Some(queue) if queue.waiting.is_empty() => {
                queue.driver = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }

    /// Wakes tasks from the front, as many as `count` returns for the length of the queue.
    pub(crate) fn wake(&self, count: impl FnOnce(usize) -> usize) {
        for _ in 0..count(self.0.with(WakerQueue::len)) {
            self.0.with(WakerQueue::pop).into_iter().for_each(Waker::wake);
        }
    }
}

impl Drop for QueueDriver {
    fn drop(&mut self) {
        // Without a driver its tasks would wait for ever.
        let queue = self.0.with(|queue| queue.queue.take());
        queue.into_iter().flat_map(|queue| queue.waiting).for_each(Waker::wake);
    }
}
