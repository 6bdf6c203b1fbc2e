//! `timeouts.age`: ends connections that are old enough.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::yield_now,
    time::{Instant, sleep},
};
use towline_middleware::{drain::Signal, stats::Stats};

use crate::live_config::LiveConfig;

/// Time between two looks at the connections of a shard.
const PERIOD: Duration = Duration::from_secs(1);

/// Part of the age over which the connections end that are too old already when it is set: the width of the range of
/// ages.
const SPREAD: f64 = 0.2;

/// Ends the connections of one shard at their age, while the configuration says so.
pub(super) async fn end_old_connections(
    signal: Signal,
    stats: Arc<Stats>,
    mut config: watch::Receiver<LiveConfig>,
) {
    let mut quota = AgeQuota::default();
    loop {
        let age = config.borrow_and_update().effective.settings.timeouts.age;
        let Some(age) = age else {
            if config.changed().await.is_err() {
                return;
            }
            quota = AgeQuota::default();
            continue;
        };
        let open = stats.states.snapshot().connections.iter().sum::<u64>();
        let mut left = quota.take(open, age);
        let mut part = 0;
        while left > 0
            && let Some(asked) = signal.close_older(part, age, stats.now(), left)
        {
            quota.used(asked);
            left -= asked;
            part += 1;
            yield_now().await;
        }
        sleep(PERIOD).await;
    }
}

/// How many connections may be ended, so that those that have been open for long do not all end at once.
#[derive(Debug)]
struct AgeQuota {
    last: Instant,
    allowed: f64,
}

impl Default for AgeQuota {
    fn default() -> Self {
        Self { last: Instant::now(), allowed: 0.0 }
    }
}

impl AgeQuota {
    /// The number that may end now, of so many that are `open`.
    fn take(&mut self, open: u64, age: Duration) -> usize {
        let now = Instant::now();
        let passed = now - std::mem::replace(&mut self.last, now);
        let share = passed.as_secs_f64() / (age.as_secs_f64() * SPREAD);
        // What was not used before is gone, but for parts of a connection.
        self.allowed = self.allowed.min(1.0) + (open as f64 * share).min(open as f64);
        self.allowed as usize
    }

    fn used(&mut self, count: usize) {
        self.allowed -= count as f64;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_backlog_ends_over_a_fifth_of_the_age_and_single_ones_are_not_forgotten() {
        let mut quota = AgeQuota::default();
        let (mut open, mut seconds) = (10_000, 0);
        while open > 100 {
            advance(PERIOD).await;
            let ended = quota.take(open, Duration::from_secs(1_000));
            quota.used(ended);
            open -= ended as u64;
            seconds += 1;
        }
        // By a share of those that are left: a hundredth is left after 4.6 times a fifth.
        assert!((850..=1_000).contains(&seconds), "{seconds} s");
        let mut quota = AgeQuota::default();
        let mut ended = 0;
        for _ in 0..200 {
            advance(PERIOD).await;
            let now = quota.take(1, Duration::from_secs(100));
            quota.used(now);
            ended += now;
        }
        assert!((8..=11).contains(&ended), "one in twenty seconds: {ended}");
    }
}
