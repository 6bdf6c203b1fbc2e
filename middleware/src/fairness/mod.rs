//! Turns on a thread that serves many: those that could go on for ever wait for those with a line.
//!
//! A connection whose read filled its block gives way. tokio's `yield_now` alone wakes all that gave
//! way at once, so beside a thousand flooding peers a polite one's line waits for a thousand blocks,
//! some 50 ms. On a thread with an [`run_yield_queue`] they stand in line instead, and a few are let on each
//! time that everybody else who was ready has run and the driver was asked who is.
//!
//! One of a short line, because each costs the others up to a block's service, some 40 µs: with four
//! at a time eight peers beside four endless pipes waited three times as long for their lines. More of
//! a long one, because the driver has then much to tell each time that it is asked: with one at a time
//! a hundred pipes were served a tenth slower.
//!
//! A flooding peer does not always find its connection in that line: where it waits for its replies
//! as well, or is served less than it would send, the connection parks, and hundreds may be woken by
//! one look at the driver. So who read much (`FLOOD_BYTES`) before it parked stands in line before it
//! reads or writes on, too.
//!
//! Those whose time is up stand in a line of their own, before a [`run_close_pacer`].

mod close_pacer;

use std::{
    cell::RefCell,
    future::{Future, poll_fn},
    pin::pin,
    task::Context,
};

pub(crate) use close_pacer::enqueue_close;
pub use close_pacer::run_close_pacer;
use tokio::task::yield_now;

use crate::thread_context::waker_queue::{QueueDriver, ThreadQueue, enqueue};

thread_local! {
    static YIELD_QUEUE: ThreadQueue = const { RefCell::new(None) };
}

/// Of so many in line one is let on, but never more than [`WAKE_AT_ONCE_MAX`] at a time.
const WAKE_ONE_OF: usize = 8;
const WAKE_AT_ONCE_MAX: usize = 8;

/// Lets those on, a few at a time, that gave way on this thread; for as long as it is polled.
///
/// For a current-thread runtime: spawn it once there. Where none runs, whoever gives way goes on as
/// soon as the driver was polled.
pub async fn run_yield_queue() {
    let driver = QueueDriver::begin(&YIELD_QUEUE);
    loop {
        poll_fn(|cx| driver.poll_nonempty(cx)).await;
        yield_now().await;
        driver.wake_some(|waiting| waiting.div_ceil(WAKE_ONE_OF).min(WAKE_AT_ONCE_MAX));
    }
}

/// Lets others run: `cx` is woken when it is this task's turn again.
pub(crate) fn enqueue_yield(cx: &mut Context<'_>) {
    if !enqueue(&YIELD_QUEUE, cx) {
        defer_wake(cx);
    }
}

/// Waking oneself is no yield: the driver is polled only every 61 task polls then. tokio's
/// `yield_now` defers the wake until the driver was polled.
fn defer_wake(cx: &mut Context<'_>) {
    let yielded = pin!(yield_now()).poll(cx);
    debug_assert!(yielded.is_pending());
}

/// A batch that takes as long to serve and to answer as some turns of a line do.
pub(crate) const FLOOD_BYTES: usize = 16 * crate::KIB;

/// Whether a connection that was woken goes on at once or stands in line first.
///
/// A parked connection cannot know how much it will find. But who sent much since it parked before
/// will again, and who sends a line at a time won't.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FloodHint {
    read_much: bool,
    must_queue: bool,
}

impl FloodHint {
    /// Of one that was not heard of.
    pub(crate) const NONE: Self = Self { read_much: false, must_queue: false };

    #[inline]
    pub(crate) const fn record_batch(&mut self, bytes: usize) {
        self.read_much |= bytes >= FLOOD_BYTES;
    }

    #[inline]
    pub(crate) const fn park(&mut self) {
        self.must_queue = std::mem::replace(&mut self.read_much, false);
    }

    /// Whether to stand in line before going on; once in line it has done so.
    #[inline]
    pub(crate) const fn take_must_queue(&mut self) -> bool {
        std::mem::replace(&mut self.must_queue, false)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Poll,
    };

    use super::*;

    /// Waits in a line once.
    pub(super) async fn wait(enqueue: fn(&mut Context<'_>)) {
        let mut stood = false;
        poll_fn(|cx| {
            if std::mem::replace(&mut stood, true) {
                return Poll::Ready(());
            }
            enqueue(cx);
            Poll::Pending
        })
        .await;
    }

    /// Tasks that give way for ever, and how often each went on.
    fn crowd(size: usize) -> Vec<Arc<AtomicUsize>> {
        let turns: Vec<Arc<AtomicUsize>> = (0..size).map(|_| Arc::default()).collect();
        for turns in turns.clone() {
            tokio::spawn(async move {
                loop {
                    wait(enqueue_yield).await;
                    turns.fetch_add(1, Relaxed);
                }
            });
        }
        turns
    }

    #[tokio::test]
    async fn one_is_woken_at_a_time_and_everybody_in_turn() {
        lets_on(8, 1).await;
    }

    #[tokio::test]
    async fn more_of_a_long_line_are_woken_at_a_time_and_everybody_in_turn() {
        lets_on(20, 3).await;
    }

    #[tokio::test]
    async fn never_more_than_the_most_are_woken_at_a_time() {
        lets_on(1000, WAKE_AT_ONCE_MAX).await;
    }

    async fn lets_on(size: usize, at_once: usize) {
        tokio::spawn(run_yield_queue());
        yield_now().await;
        let turns = crowd(size);
        let total = || turns.iter().map(|turns| turns.load(Relaxed)).sum::<usize>();
        for _ in 0..5 * size {
            let before = total();
            yield_now().await;
            assert!(total() - before <= at_once, "{} of {size}", total() - before);
        }
        let each = turns.iter().map(|turns| turns.load(Relaxed));
        let (least, most) = (each.clone().min().unwrap_or(0), each.max().unwrap_or(0));
        assert!(least > 0 && most - least <= 1, "{least} to {most} turns");
    }

    #[tokio::test]
    async fn without_an_usher_and_when_it_leaves_everybody_goes_on() {
        let turns = crowd(20);
        let driver = tokio::spawn(run_yield_queue());
        for _ in 0..5 {
            yield_now().await;
        }
        driver.abort();
        for _ in 0..5 {
            yield_now().await;
        }
        let before: Vec<_> = turns.iter().map(|turns| turns.load(Relaxed)).collect();
        yield_now().await;
        yield_now().await;
        assert!(turns.iter().zip(before).all(|(turns, before)| turns.load(Relaxed) > before));
    }
}
