//! One task that wakes connections at their deadlines.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::{Context, Poll, Waker},
};

use tokio::{
    task::{coop::unconstrained, yield_now},
    time::{Instant, Sleep, sleep_until},
};

use super::Signal;
use crate::clock::{Clock, Nanos};

/// Connections that are woken under one lock, before other tasks run.
const WAKES_AT_ONCE: usize = 256;

/// The task of a shard's [`Timers`], as its connections see it.
#[derive(Default)]
pub(super) struct Driver {
    runs: bool,
    /// Its waker, and until when it sleeps.
    sleeping: Option<(Waker, Nanos)>,
}

impl Driver {
    /// Whether there is one.
    pub(super) const fn runs(&self) -> bool {
        self.runs
    }

    /// Wakes it if it would sleep beyond `at`.
    pub(super) fn wake_before(&mut self, at: Nanos) {
        if let Some((waker, _)) = self.sleeping.take_if(|(_, until)| at < *until) {
            waker.wake();
        }
    }
}

/// Wakes a shard's connections at their next deadlines, while it [runs](Self::run).
///
/// A timer of Tokio takes 96 bytes of each connection, most of which do nothing but wait; an entry in
/// this list takes 16. Connections use it if it was made before they park for the first time, and
/// otherwise a timer of their own.
///
/// It must outlive the connections: spawn [`run`](Self::run) in the runtime that polls them. Deadlines
/// do not pass while it does not run.
pub struct Timers {
    signal: Signal,
    clock: Clock,
}

impl Signal {
    /// Makes the timers of the connections that watch this signal. `clock` is that of their
    /// [`Stats`](crate::stats::Stats).
    pub fn timers(&self, clock: impl Into<Clock>) -> Timers {
        self.shared.wakers().driver.runs = true;
        Timers { signal: self.clone(), clock: clock.into() }
    }
}

impl Timers {
    /// Wakes connections for ever.
    pub async fn run(self) {
        let mut timer = pin!(sleep_until(Instant::now()));
        loop {
            let now = self.clock.now();
            let next = {
                let list = &mut self.signal.shared.wakers().list;
                list.wake_due(now, WAKES_AT_ONCE);
                list.next()
            };
            if next.is_some_and(|next| next <= now) {
                yield_now().await;
                continue;
            }
            if let Some(next) = next {
                timer.as_mut().reset(self.clock.instant(next));
            }
            poll_fn(|cx| self.poll_sleep(next, timer.as_mut(), cx)).await;
        }
    }

    /// Ready when `next` has come, or when an earlier time was set meanwhile.
    fn poll_sleep(
        &self,
        next: Option<Nanos>,
        timer: std::pin::Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        {
            let mut wakers = self.signal.shared.wakers();
            let first = wakers.list.next();
            if first.is_some_and(|first| next.is_none_or(|next| first < next)) {
                return Poll::Ready(());
            }
            let until = next.unwrap_or(Nanos(u64::MAX));
            wakers.driver.sleeping = Some((cx.waker().clone(), until));
        }
        // Out of its task's budget a timer would be pending without being registered.
        if next.is_some() { pin!(unconstrained(timer)).poll(cx) } else { Poll::Pending }
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        self.signal.shared.wakers().driver = Driver::default();
    }
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("clock", &self.clock).finish_non_exhaustive()
    }
}
