use std::{future::poll_fn, task::Context, time::Duration};

use tokio::time::sleep;

use crate::thread_context::{CLOSING, QueueDriver};

/// Interval between batches of closes. Tokio rounds timers up to 1 ms, so it is 1 to 2 ms in practice.
const INTERVAL: Duration = Duration::from_millis(1);

/// Number of intervals over which a backlog is closed: about one second on an idle thread.
const INTERVALS: usize = 500;

/// Paces closes when many deadlines expire at once, as long as it is polled.
///
/// A deadline passes for many connections together: a thousand peers that stopped reading together, or
/// were behind a cable that is pulled. To close a connection with all that it buffers takes the kernel as
/// long as many a line, and a peer that is cut may come back at once and cost as much again. Spread out,
/// the closes leave other connections room in between; row 6 of docs/FAULTS.md has the figures.
///
/// For a current-thread runtime with a clock: spawn it there once. Returns at once if it runs on this
/// thread already.
pub async fn run_close_pacer() {
    let Some(driver) = QueueDriver::new(&CLOSING) else { return };
    let mut batch = 0;
    loop {
        poll_fn(|cx| {
            let waiting = driver.poll_nonempty(cx);
            if waiting.is_pending() {
                batch = 0;
            }
            waiting
        })
        .await;
        driver.wake(|waiting| {
            batch = waiting.div_ceil(INTERVALS).max(batch);
            batch
        });
        sleep(INTERVAL).await;
    }
}

/// Wakes the task of `cx` when it may close.
pub(crate) fn enqueue_close(cx: &mut Context<'_>) {
    CLOSING.with(|queue| queue.push(cx));
}

#[cfg(test)]
mod tests {
    use tokio::{task::JoinSet, time::Instant};

    use super::{super::wait_once, *};

    async fn close() -> Duration {
        let begun = Instant::now();
        wait_once(enqueue_close).await;
        begun.elapsed()
    }

    async fn close_together(peers: usize) -> Vec<Duration> {
        let closing: JoinSet<Duration> = (0..peers).map(|_| close()).collect();
        closing.join_all().await
    }

    #[tokio::test(start_paused = true)]
    async fn one_expired_connection_closes_at_once() {
        tokio::spawn(run_close_pacer());
        tokio::task::yield_now().await;
        assert!(close().await.is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn many_close_evenly_and_all_within_a_second() {
        tokio::spawn(run_close_pacer());
        tokio::task::yield_now().await;
        for peers in [300, 10_000] {
            let mut waited = close_together(peers).await;
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
    async fn without_a_pacer_and_after_it_ended_every_connection_closes() {
        assert!(close_together(300).await.iter().all(Duration::is_zero));
        let pacer = tokio::spawn(run_close_pacer());
        tokio::task::yield_now().await;
        let (waited, ()) = tokio::join!(close_together(300), async {
            sleep(Duration::from_millis(5)).await;
            pacer.abort();
        });
        let last = waited.into_iter().max().unwrap_or_default();
        assert!(last < Duration::from_millis(10), "{last:?}");
    }
}
