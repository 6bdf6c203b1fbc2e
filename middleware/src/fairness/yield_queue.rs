use std::{future::poll_fn, task::Context};

use tokio::task::yield_now;

use crate::thread_context::{QueueDriver, Ticket, WakerQueue, YIELDING};

/// One of this many waiting connections is woken at a time, but never more than [`WAKE_AT_ONCE_MAX`].
const WAKE_ONE_OF: usize = 8;
const WAKE_AT_ONCE_MAX: usize = 8;

/// Wakes the connections that yielded on this thread, a few at a time, as long as it is polled.
///
/// tokio's `yield_now` alone wakes at once all that yielded, so beside a thousand flooding peers a line
/// of a well-behaved one waits for a thousand blocks, some 50 ms. In this queue a few are woken each time
/// after everything else that was ready has run and the I/O driver was polled.
///
/// One of a short queue, because each costs other connections up to a block's service, some 40 µs: with four at
/// a time eight peers beside four endless pipes waited three times as long for their lines. More of a
/// long one, because the I/O driver has then many events each time it is polled: with one at a time a
/// hundred pipes were served a tenth slower.
///
/// For a current-thread runtime: spawn it there once. Returns at once if it runs on this thread already.
pub async fn run_yield_queue() {
    let Some(driver) = QueueDriver::new(&YIELDING) else { return };
    loop {
        poll_fn(|cx| driver.poll_nonempty(cx)).await;
        yield_now().await;
        driver.wake(|waiting| waiting.div_ceil(WAKE_ONE_OF).min(WAKE_AT_ONCE_MAX));
    }
}

/// Wakes the task of `cx` after the others of this thread have run.
pub(crate) fn enqueue_yield(cx: &mut Context<'_>) -> Ticket {
    YIELDING.with(|queue| queue.push(cx))
}

/// Whether connections of this thread wait in a queue, so that those that do not flood are known.
pub(crate) fn has_queue() -> bool {
    YIELDING.with(WakerQueue::has_driver)
}

/// Whether the task with this ticket still waits for its turn.
#[inline]
pub(crate) fn waits(ticket: Ticket) -> bool {
    ticket.is_some() && YIELDING.with(|queue| queue.holds(ticket))
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use super::{super::wait_once, *};

    /// Tasks that yield for ever, and how often each ran.
    fn yielding_tasks(size: usize) -> Vec<Arc<AtomicUsize>> {
        let polls: Vec<Arc<AtomicUsize>> = (0..size).map(|_| Arc::default()).collect();
        for polls in polls.clone() {
            tokio::spawn(async move {
                loop {
                    wait_once(|cx| {
                        enqueue_yield(cx);
                    })
                    .await;
                    polls.fetch_add(1, Relaxed);
                }
            });
        }
        polls
    }

    #[tokio::test]
    async fn one_of_a_short_queue_is_woken_at_a_time_and_each_in_turn() {
        wakes(8, 1).await;
    }

    #[tokio::test]
    async fn more_of_a_long_queue_are_woken_at_a_time_and_each_in_turn() {
        wakes(20, 3).await;
    }

    #[tokio::test]
    async fn never_more_than_the_maximum_are_woken_at_a_time() {
        wakes(1000, WAKE_AT_ONCE_MAX).await;
    }

    async fn wakes(size: usize, at_once: usize) {
        tokio::spawn(run_yield_queue());
        yield_now().await;
        let polls = yielding_tasks(size);
        let total = || polls.iter().map(|polls| polls.load(Relaxed)).sum::<usize>();
        for _ in 0..5 * size {
            let before = total();
            yield_now().await;
            assert!(total() - before <= at_once, "{} of {size}", total() - before);
        }
        let each = polls.iter().map(|polls| polls.load(Relaxed));
        let (least, most) = (each.clone().min().unwrap_or(0), each.max().unwrap_or(0));
        assert!(least > 0 && most - least <= 1, "{least} to {most} polls");
    }

    #[tokio::test]
    async fn without_a_driver_and_after_it_ended_every_task_runs() {
        let polls = yielding_tasks(20);
        let driver = tokio::spawn(run_yield_queue());
        for _ in 0..5 {
            yield_now().await;
        }
        driver.abort();
        for _ in 0..5 {
            yield_now().await;
        }
        let before: Vec<_> = polls.iter().map(|polls| polls.load(Relaxed)).collect();
        yield_now().await;
        yield_now().await;
        assert!(polls.iter().zip(before).all(|(polls, before)| polls.load(Relaxed) > before));
    }

    #[tokio::test]
    async fn a_second_driver_of_a_thread_returns_and_leaves_the_first_its_queue() {
        let first = tokio::spawn(run_yield_queue());
        yield_now().await;
        let polls = yielding_tasks(20);
        run_yield_queue().await;
        for _ in 0..100 {
            yield_now().await;
        }
        assert!(polls.iter().all(|polls| polls.load(Relaxed) > 0));
        assert!(!first.is_finished());
        first.abort();
    }
}
