//! How fast connections are let in.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A token bucket that holds a second's worth: after a quiet second as many may come at once.
///
/// Kept as one moment, the one at which the bucket will be full again, so nothing has to be filled.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    /// Between two tokens.
    interval: Duration,
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket of so many tokens a second.
    pub(super) fn per_second(tokens: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1) / tokens.max(1), full_at: now }
    }

    /// Takes a token if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let there_is = self.wait(now).is_zero();
        if there_is {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        there_is
    }

    /// Waits until there is a token, and leaves it there.
    pub(super) async fn ready(&self) {
        let wait = self.wait(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// There is a token while no more than a second's worth, less one, is missing.
    fn wait(&self, now: Instant) -> Duration {
        let missing = (self.full_at + self.interval).saturating_duration_since(now);
        missing.saturating_sub(Duration::from_secs(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_second_s_worth_comes_at_once_and_then_they_come_evenly() {
        let begun = Instant::now();
        let mut rate = TokenBucket::per_second(10, begun);
        let mut taken_at = Vec::new();
        for _ in 0..25 {
            rate.ready().await;
            assert!(rate.take(Instant::now()), "it was ready");
            taken_at.push(begun.elapsed().as_millis());
        }
        let expected: Vec<u128> = (0..25_u128).map(|at| at.saturating_sub(9) * 100).collect();
        assert_eq!(taken_at, expected);
        assert!(!rate.take(Instant::now()));

        // However long nobody comes, no more than a second's worth is saved.
        advance(Duration::from_secs(3600)).await;
        let at_once = (0..100).filter(|_| rate.take(Instant::now())).count();
        assert_eq!(at_once, 10);
    }

    proptest! {
        #[test]
        fn no_window_lets_more_in_than_its_time_and_one_second_more(
            tokens in 1_u32..2000,
            pauses in prop::collection::vec(0_u64..3_000, 1..300),
        ) {
            let begun = Instant::now();
            let mut rate = TokenBucket::per_second(tokens, begun);
            let mut now = begun;
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                if rate.take(now) {
                    taken.push(now);
                }
            }
            for (at, first) in taken.iter().enumerate() {
                for (later, last) in taken.iter().enumerate().skip(at) {
                    let most = (*last - *first).as_secs_f64() * f64::from(tokens);
                    // The interval is whole nanoseconds, rounded down.
                    let most = (most * (1.0 + 1e-5)).floor() + f64::from(tokens) + 1.0;
                    prop_assert!((later - at + 1) as f64 <= most);
                }
            }
        }
    }
}
