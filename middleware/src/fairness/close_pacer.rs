//! The way out, for those whose time is up together.

use std::{cell::RefCell, future::poll_fn, task::Context, time::Duration};

use tokio::time::sleep;

use super::defer_wake;
use crate::thread_context::waker_queue::{QueueDriver, ThreadQueue, enqueue};

thread_local! {
    static CLOSE_QUEUE: ThreadQueue = const { RefCell::new(None) };
}

/// Time between two looks at who waits to leave. The timer rounds it up, to less than twice as much.
const INTERVAL: Duration = Duration::from_millis(1);

/// In so many looks all have left who waited at the first: within a second, on a thread that has time.
const INTERVALS: usize = 500;

/// Lets those out, a few in a millisecond, whose time is up; for as long as it is polled.
///
/// A deadline passes for many at once: a thousand peers that stopped reading together, or that
/// were behind a cable that is pulled. To close a connection with all that it holds takes the kernel as
/// long as many a line, and a peer that is cut may come back at once and cost as much again. Spread out,
/// that leaves others room in between; row 6 of docs/FAULTS.md has what it is worth.
///
/// For a current-thread runtime with a clock: spawn it once there. Where none runs, whoever leaves does
/// when the others have had a turn.
pub async fn run_close_pacer() {
    let driver = QueueDriver::begin(&CLOSE_QUEUE);
    let mut batch_size = 0;
    loop {
        poll_fn(|cx| {
            let waiting = driver.poll_nonempty(cx);
            if waiting.is_pending() {
                batch_size = 0;
            }
            waiting
        })
        .await;
        driver.wake_some(|waiting| {
            batch_size = waiting.div_ceil(INTERVALS).max(batch_size);
            batch_size
        });
        sleep(INTERVAL).await;
    }
}

/// Has `cx` woken when it may leave.
pub(crate) fn enqueue_close(cx: &mut Context<'_>) {
    if !enqueue(&CLOSE_QUEUE, cx) {
        defer_wake(cx);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::Instant};

    use super::{super::tests::wait, *};

    async fn leave() -> Duration {
        let came = Instant::now();
        wait(enqueue_close).await;
        came.elapsed()
    }

    async fn leave_together(peers: usize) -> Vec<Duration> {
        let leaving: JoinSet<Duration> = (0..peers).map(|_| leave()).collect();
        leaving.join_all().await
    }

    #[tokio::test(start_paused = true)]
    async fn one_whose_time_is_up_leaves_at_once() {
        tokio::spawn(run_close_pacer());
        tokio::task::yield_now().await;
        assert!(leave().await.is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn many_leave_evenly_and_all_within_a_second() {
        tokio::spawn(run_close_pacer());
        tokio::task::yield_now().await;
        for peers in [300, 10_000] {
            let mut waited = leave_together(peers).await;
            waited.sort();
            let at_once = waited.iter().filter(|waited| waited.is_zero()).count();
            assert_eq!(at_once, peers.div_ceil(INTERVALS));
            let last = waited[peers - 1];
            assert!(waited[peers / 2].abs_diff(last / 2) < Duration::from_millis(9), "{waited:?}");
            // The timer could take twice as long.
            assert!(
                (Duration::from_millis(250)..=Duration::from_millis(500)).contains(&last),
                "{last:?}"
            );
            // Until the pacer is idle again.
            sleep(INTERVAL).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_porter_and_when_he_goes_home_everybody_leaves() {
        assert!(leave_together(300).await.iter().all(Duration::is_zero));
        let pacer = tokio::spawn(run_close_pacer());
        tokio::task::yield_now().await;
        let (waited, ()) = tokio::join!(leave_together(300), async {
            sleep(Duration::from_millis(5)).await;
            pacer.abort();
        });
        let last = waited.into_iter().max().unwrap_or_default();
        assert!(last < Duration::from_millis(10), "{last:?}");
    }
}
