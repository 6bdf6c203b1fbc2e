//! The watchdog of a service manager, systemd's `WatchdogSec=`: it restarts a server that does not notify it.
//!
//! A server that hangs may still answer its admin port and its signals, which have threads of their own. So the
//! manager is notified only while every thread that serves lines runs.

use std::{env, future::pending, time::Duration};

use tokio::time::{Instant, sleep};

use super::notify;

/// The time within which the manager expects a notification, in microseconds.
const PERIOD: &str = "WATCHDOG_USEC";

/// The process that is to notify, where it is not every one that finds [`PERIOD`].
const PROCESS: &str = "WATCHDOG_PID";

/// A thread that has not ticked for so long does not run, at least. It ticks four times per second, and worker
/// processes report once per second.
const SILENCE_MIN: Duration = Duration::from_secs(2);

/// Pause before the next look at threads of which one does not run.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// Notifies the manager twice in the time that it gives, while every thread has ticked in the half before. Returns
/// only with its runtime; without a watchdog it does nothing.
///
/// `ticks` has a count for each thread that serves lines, in a fixed order; `None` while its process is being
/// replaced.
pub async fn feed(ticks: impl Fn() -> Vec<Option<u64>>) {
    let Some(period) = period() else { return pending().await };
    feed_every(period / 2, ticks, notify::alive).await;
}

async fn feed_every(
    interval: Duration,
    ticks: impl Fn() -> Vec<Option<u64>>,
    notify: impl Fn() -> bool,
) {
    let silence_max = interval.max(SILENCE_MIN);
    let (mut threads, mut hung) = (Threads::default(), None);
    loop {
        let before = hung;
        hung = threads.hung(&ticks(), silence_max);
        match (before, hung) {
            (None, Some(worker)) => tracing::error!(
                worker,
                "a worker thread has not run for {silence_max:?}: the watchdog of the service manager is not \
                 fed ({PERIOD})"
            ),
            (Some(worker), None) => tracing::info!(worker, "the worker thread runs again"),
            _ => {}
        }
        let fed = hung.is_none() && notify();
        sleep(if fed { interval } else { interval.min(LOOK_AGAIN) }).await;
    }
}

/// The time that the manager gives to this process. One that is no number is logged.
fn period() -> Option<Duration> {
    let other = |pid: String| pid.parse() != Ok(std::process::id());
    if env::var(PROCESS).is_ok_and(other) {
        return None;
    }
    let text = env::var_os(PERIOD)?;
    match text.to_str().and_then(|text| text.parse().ok()).filter(|micros| *micros > 0) {
        Some(micros) => Some(Duration::from_micros(micros)),
        None => {
            tracing::error!(
                "{PERIOD} = {text:?} is not a number of microseconds: no watchdog is fed"
            );
            None
        }
    }
}

/// When each thread ticked last.
#[derive(Debug, Default)]
struct Threads(Vec<(Option<u64>, Instant)>);

impl Threads {
    /// The first thread whose count has not changed for `silence_max`.
    fn hung(&mut self, ticks: &[Option<u64>], silence_max: Duration) -> Option<usize> {
        let now = Instant::now();
        self.0.resize(ticks.len(), (None, now));
        for ((before, ticked), ticks) in self.0.iter_mut().zip(ticks) {
            if ticks.is_none() || ticks != before {
                (*before, *ticked) = (*ticks, now);
            }
        }
        self.0.iter().position(|(_, ticked)| now.duration_since(*ticked) >= silence_max)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::timeout;

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(15);

    /// How often a manager is notified in ten intervals, if the ticks at each time are these.
    async fn notified(ticks: impl Fn(Duration) -> Vec<Option<u64>>) -> u32 {
        let (begun, notified) = (Instant::now(), Cell::new(0));
        let alive = || {
            notified.set(notified.get() + 1);
            true
        };
        let feeding = feed_every(INTERVAL, || ticks(begun.elapsed()), alive);
        let _ = timeout(10 * INTERVAL - Duration::from_millis(1), feeding).await;
        notified.get()
    }

    #[tokio::test(start_paused = true)]
    async fn the_watchdog_is_fed_while_every_thread_ticks() {
        assert_eq!(notified(|at| vec![Some(at.as_millis() as u64); 3]).await, 10);
        // The second thread hangs from the first look on.
        assert_eq!(notified(|at| vec![Some(at.as_millis() as u64), Some(7)]).await, 1);
        assert_eq!(notified(|_| vec![]).await, 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_is_being_replaced_does_not_hang_and_one_that_ticks_again_is_fed() {
        let replaced = |at: Duration| vec![(at.as_secs() % 60 > 20).then_some(at.as_secs())];
        assert_eq!(notified(replaced).await, 10);
        // It hangs from the 40th to the 90th second.
        let hangs = |at: Duration| {
            vec![Some(if (40..90).contains(&at.as_secs()) { 40 } else { at.as_secs() })]
        };
        // At 0, 15, 30 and 45 s, then from 90 s on.
        assert_eq!(notified(hangs).await, 4 + 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_manager_does_not_take_is_sent_again_soon() {
        let (begun, sent) = (Instant::now(), RefCell::new(Vec::new()));
        let full = || {
            sent.borrow_mut().push(begun.elapsed());
            sent.borrow().len() > 2
        };
        let feeding = feed_every(INTERVAL, Vec::new, full);
        let _ = timeout(Duration::from_secs(17), feeding).await;
        assert_eq!(sent.into_inner(), [0, 500, 1_000, 16_000].map(Duration::from_millis));
    }
}
