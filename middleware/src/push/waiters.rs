//! Tasks that wait for the same.

use std::task::{Context, Waker};

use super::sync::{Mutex, lock};

/// Tasks to be woken together. Bounded by the tasks that wait: each is in it once.
#[derive(Default)]
pub(super) struct Waiters {
    wakers: Vec<Waker>,
    /// The number of wake-ups so far, and one: what a task remembers that is registered.
    round: u64,
}

impl Waiters {
    /// Adds the task of `cx`, unless it is here already. `registered` begins at 0.
    pub(super) fn register(&mut self, cx: &Context<'_>, registered: &mut u64) {
        if *registered != self.round + 1 {
            *registered = self.round + 1;
            self.wakers.push(cx.waker().clone());
        }
    }

    /// Takes those that wait.
    pub(super) fn take(&mut self) -> Vec<Waker> {
        self.round += 1;
        std::mem::take(&mut self.wakers)
    }

    /// Wakes those that wait, without the lock.
    pub(super) fn wake_all(waiters: &Mutex<Self>) {
        let wakers = lock(waiters).take();
        wakers.into_iter().for_each(Waker::wake);
    }
}
