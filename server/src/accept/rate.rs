//! The limit of accepted connections per second.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A token bucket that holds one second's tokens: after a quiet second as many connections are
/// accepted at once.
///
/// Its state is the moment at which the bucket will be full again, so no timer refills it.
#[derive(Debug, Clone, Copy)]
pub(super) struct TokenBucket {
    /// Time between two tokens.
    interval: Duration,
    full_at: Instant,
}

impl TokenBucket {
    /// A full bucket that gains `tokens` a second.
    pub(super) fn per_second(tokens: u32, now: Instant) -> Self {
        Self { interval: Duration::from_secs(1) / tokens.max(1), full_at: now }
    }

    /// Takes a token; returns false if there is none.
    pub(super) fn try_take(&mut self, now: Instant) -> bool {
        let available = self.wait(now).is_zero();
        if available {
            self.full_at = self.full_at.max(now) + self.interval;
        }
        available
    }

    /// Waits until there is a token, without taking it.
    pub(super) async fn ready(&self) {
        let wait = self.wait(Instant::now());
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    /// Time until there is a token: there is one while the bucket lacks at most a second's tokens less
    /// one.
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
    async fn one_second_of_tokens_comes_at_once_and_later_ones_at_even_intervals() {
        let start = Instant::now();
        let mut rate = TokenBucket::per_second(10, start);
        let mut taken_at = Vec::new();
        for _ in 0..25 {
            rate.ready().await;
            assert!(rate.try_take(Instant::now()), "it was ready");
            taken_at.push(start.elapsed().as_millis());
        }
        let expected: Vec<u128> = (0..25_u128).map(|at| at.saturating_sub(9) * 100).collect();
        assert_eq!(taken_at, expected);
        assert!(!rate.try_take(Instant::now()));

        // However long the pause, no more than a second's tokens are saved.
        advance(Duration::from_secs(3600)).await;
        let at_once = (0..100).filter(|_| rate.try_take(Instant::now())).count();
        assert_eq!(at_once, 10);
    }

    proptest! {
        #[test]
        fn no_window_admits_more_than_its_time_and_one_second_more(
            tokens in 1_u32..2000,
            pauses in prop::collection::vec(0_u64..3_000, 1..300),
        ) {
            let start = Instant::now();
            let mut rate = TokenBucket::per_second(tokens, start);
            let mut now = start;
            let mut taken = Vec::new();
            for pause in pauses {
                now += Duration::from_millis(pause);
                if rate.try_take(now) {
                    taken.push(now);
                }
            }
            for (at, first) in taken.iter().enumerate() {
                for (later, last) in taken.iter().enumerate().skip(at) {
                    let tokens_max = (*last - *first).as_secs_f64() * f64::from(tokens);
                    // The interval is whole nanoseconds, rounded down.
                    let tokens_max = (tokens_max * (1.0 + 1e-5)).floor() + f64::from(tokens) + 1.0;
                    prop_assert!((later - at + 1) as f64 <= tokens_max);
                }
            }
        }
    }
}
