//! A line that tasks of one thread stand in, and whoever lets them on.

use std::{
    cell::RefCell,
    collections::VecDeque,
    task::{Context, Poll, Waker},
    thread::LocalKey,
};

/// A thread's line, where somebody attends to it.
pub(crate) type ThreadQueue = RefCell<Option<WakerQueue>>;

/// Each connection stands in it at most once, unless something else woke it meanwhile.
#[derive(Debug, Default)]
pub(crate) struct WakerQueue {
    waiting: VecDeque<Waker>,
    driver: Option<Waker>,
}

/// Puts a task in line: `cx` is woken when it is its turn. False where nobody attends.
pub(crate) fn enqueue(queue: &'static LocalKey<ThreadQueue>, cx: &Context<'_>) -> bool {
    let driver = queue.with_borrow_mut(|queue| {
        let queue = queue.as_mut()?;
        queue.waiting.push_back(cx.waker().clone());
        Some(queue.driver.take())
    });
    let driven = driver.is_some();
    driver.flatten().into_iter().for_each(Waker::wake);
    driven
}

/// While it lives, there is a line on this thread.
#[derive(Debug)]
pub(crate) struct QueueDriver(&'static LocalKey<ThreadQueue>);

impl QueueDriver {
    pub(crate) fn begin(queue: &'static LocalKey<ThreadQueue>) -> Self {
        queue.set(Some(WakerQueue::default()));
        Self(queue)
    }

    /// Ready when somebody waits.
    pub(crate) fn poll_nonempty(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.with_borrow_mut(|queue| match queue {
            Some(queue) if queue.waiting.is_empty() => {
                queue.driver = Some(cx.waker().clone());
                Poll::Pending
            }
            _ => Poll::Ready(()),
        })
    }

    /// Lets on as many of the line as `share` says of its length.
    pub(crate) fn wake_some(&self, share: impl FnOnce(usize) -> usize) {
        let waiting =
            self.0.with_borrow(|queue| queue.as_ref().map_or(0, |queue| queue.waiting.len()));
        for _ in 0..share(waiting) {
            self.next().into_iter().for_each(Waker::wake);
        }
    }

    fn next(&self) -> Option<Waker> {
        self.0.with_borrow_mut(|queue| queue.as_mut()?.waiting.pop_front())
    }
}

impl Drop for QueueDriver {
    fn drop(&mut self) {
        // Nobody may wait for a driver that is gone.
        let queue = self.0.take();
        queue.into_iter().flat_map(|queue| queue.waiting).for_each(Waker::wake);
    }
}
