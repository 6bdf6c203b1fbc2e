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
/// Each connection has at most one entry, unless something else woke it meanwhile.
pub(crate) struct WakerQueue {
    /// `None` while no driver runs.
    queue: RefCell<Option<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waker>,
    driver: Option<Waker>,
}

impl WakerQueue {
    pub(super) const fn new() -> Self {
        Self { queue: RefCell::new(None) }
    }

    /// Adds the task of `cx`, which the driver wakes in its turn. While no driver runs, the task is woken
    /// after the other runnable tasks have run.
    pub(crate) fn push(&self, cx: &mut Context<'_>) {
        let driver = match &mut *self.queue.borrow_mut() {
            None => return defer_wake(cx),
            Some(queue) => {
                queue.waiting.push_back(cx.waker().clone());
                queue.driver.take()
            }
        };
        driver.into_iter().for_each(Waker::wake);
    }

    fn pop(&self) -> Option<Waker> {
        self.queue.borrow_mut().as_mut()?.waiting.pop_front()
    }

    fn len(&self) -> usize {
        self.queue.borrow().as_ref().map_or(0, |queue| queue.waiting.len())
    }
}

/// A task that wakes itself does not yield: tokio polls the I/O driver only every 61 task polls then. Its
/// `yield_now` defers the wake-up until the driver was polled.
fn defer_wake(cx: &mut Context<'_>) {
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
