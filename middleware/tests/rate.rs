//! What a quota lets through, for one and for many keys.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{sync::Arc, thread, time::Duration};

use proptest::{collection::vec, prelude::*};
use tokio::time::{Instant, advance};
use towline_middleware::rate::{Quota, Quotas};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

#[tokio::test(start_paused = true)]
async fn a_quota_lets_its_burst_through_and_then_its_rate_exactly() {
    let mut quota = Quota::per_second(100).burst(200);
    assert_eq!(size_of_val(&quota), 16);
    let mut taken = 0;
    for ms in 0..=10_000 {
        while quota.take(Instant::now()).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, 200 + ms / 10);
        advance(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_time_that_it_says_there_is_room_and_not_a_nanosecond_sooner() {
    for mut quota in
        [Quota::per_second(7), Quota::per_minute(1), Quota::per_second(999_983).burst(3)]
    {
        while quota.take(Instant::now()).is_ok() {}
        let wait = quota.take(Instant::now()).unwrap_err();
        assert_eq!(quota.wait(Instant::now()), wait);
        let then = Instant::now() + wait;
        assert!(quota.take(then - Duration::from_nanos(1)).is_err());
        assert_eq!((quota.wait(then), quota.take(then)), (Duration::ZERO, Ok(())));
    }
}

#[test]
fn after_an_hour_there_is_the_burst_and_no_more() {
    let (mut quota, mut now) = (Quota::per_minute(60).burst(5), Instant::now());
    for _ in 0..3 {
        assert_eq!(quota.take_up_to(u32::MAX, now), 5);
        assert_eq!(quota.take(now), Err(SECOND));
        now += HOUR;
    }
}

#[test]
fn extremes_are_what_their_documentation_says() {
    let now = Instant::now();
    let never = Err(Duration::MAX);
    for mut nothing in [
        Quota::per_second(0),
        Quota::per_second(0).burst(5),
        Quota::per_second(5).burst(0),
        Quota::per(Duration::ZERO, 0),
        Quota::per(Duration::ZERO, 1).burst(0),
        Quota::per(Duration::MAX, 1),
    ] {
        for now in [now, now + 1_000_000 * HOUR / 10] {
            assert_eq!((nothing.take(now), nothing.take_n(0, now)), (never, Ok(())));
            assert_eq!((nothing.take_up_to(u32::MAX, now), nothing.wait(now)), (0, Duration::MAX));
        }
    }

    let mut unlimited = Quota::per(Duration::ZERO, 1).burst(9);
    for _ in 0..100 {
        assert_eq!(unlimited.take_n(9, now), Ok(()));
        assert_eq!(unlimited.take_n(10, now), never);
        assert_eq!(unlimited.take_up_to(u32::MAX, now), 9);
    }

    let mut most = Quota::per_second(u32::MAX);
    assert_eq!(most.take_n(u32::MAX, now), Ok(()));
    assert!(most.take_n(u32::MAX, now).is_err());
    // Four sixteenths of a nanosecond each, in place of 3.7.
    assert_eq!(most.take_up_to(u32::MAX, now + SECOND), 4_000_000_000);

    // No burst takes longer than 27 years to come back.
    let mut slow = Quota::per(1_000_000 * HOUR / 10, 1).burst(u32::MAX);
    assert_eq!(slow.take_up_to(u32::MAX, now), 2);
    assert_eq!(slow.take(now), never);
    assert_eq!(slow.take_n(u32::MAX, now), never);
}

#[test]
fn a_clock_that_goes_back_gives_nothing_and_takes_nothing() {
    let now = Instant::now() + HOUR;
    let mut quota = Quota::per_second(1).burst(2);
    assert_eq!(quota.take_n(2, now), Ok(()));
    let before = now - HOUR;
    assert_eq!(quota.take(before), Err(HOUR + SECOND));
    assert_eq!((quota.take_up_to(2, before), quota.take_n(0, before)), (0, Ok(())));
    assert_eq!((quota.take(now), quota.take(now + SECOND)), (Err(SECOND), Ok(())));
}

/// A bucket into which time falls, and out of which each token takes `interval` of it.
struct Bucket {
    interval: u128,
    burst: u128,
    level: u128,
}

impl Bucket {
    fn fill(&mut self, nanos: u64) {
        self.level = (self.level + u128::from(nanos)).min(self.burst * self.interval);
    }

    fn take(&mut self, count: u32) -> Result<(), Duration> {
        let cost = u128::from(count) * self.interval;
        if u128::from(count) > self.burst {
            return Err(Duration::MAX);
        }
        match self.level.checked_sub(cost) {
            Some(level) => self.level = level,
            None => return Err(Duration::from_nanos((cost - self.level) as u64)),
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_quota_is_a_bucket_of_tokens(
        interval in 0_u32..4_000_000,
        burst in 0_u32..9,
        steps in vec((0_u64..20_000_000, 0_u32..11, any::<bool>()), 1..200),
    ) {
        let mut quota = Quota::per(Duration::from_nanos(interval.into()), 1).burst(burst);
        let (interval, burst) = (interval.into(), burst.into());
        let mut bucket = Bucket { interval, burst, level: burst * interval };
        let mut now = Instant::now();
        for (nanos, count, whole) in steps {
            now += Duration::from_nanos(nanos);
            bucket.fill(nanos);
            if whole {
                prop_assert_eq!(quota.take_n(count, now), bucket.take(count));
            } else {
                let taken = (0..count).take_while(|_| bucket.take(1).is_ok()).count();
                // Without an interval all of them are there again after each one.
                let all = if interval == 0 { count.min(burst as u32) } else { taken as u32 };
                prop_assert_eq!(quota.take_up_to(count, now), all);
            }
        }
    }

    #[test]
    fn a_rate_that_is_no_whole_interval_is_never_exceeded_and_hardly_missed(
        count in 1_u32..100_000,
        seconds in 1_u64..100,
        burst in 1_u32..5,
    ) {
        let period = Duration::from_secs(seconds);
        let mut quota = Quota::per(period, count).burst(burst);
        let (start, mut now, mut taken) = (Instant::now(), Instant::now(), 0_u128);
        for _ in 0..1_000 {
            taken += u128::from(quota.take_up_to(u32::MAX, now));
            let earned = now.duration_since(start).as_nanos() * u128::from(count) / period.as_nanos();
            let most = u128::from(burst) + earned;
            prop_assert!((most - 1..=most).contains(&taken), "{taken} of {most}");
            now += quota.wait(now);
        }
    }

    #[test]
    fn each_key_has_what_a_quota_of_its_own_would_have(
        steps in vec((0_u64..300, 0_u8..5, 0_u32..4), 1..200),
    ) {
        let quota = Quota::per_second(10).burst(3);
        let quotas = Quotas::new(quota.clone());
        let mut own = vec![quota; 5];
        let mut now = Instant::now();
        for (ms, key, count) in steps {
            now += Duration::from_millis(ms);
            let expected = own[usize::from(key)].take_n(count, now);
            prop_assert_eq!(quotas.take_n(&key, count, now), expected);
        }
    }
}

#[test]
fn threads_that_share_a_key_get_its_quota_together() {
    let quotas = Arc::new(Quotas::<String>::new(Quota::per_minute(100)));
    let now = Instant::now();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let quotas = quotas.clone();
            thread::spawn(move || (0..50).filter(|_| quotas.take("key", now).is_ok()).count())
        })
        .collect();
    let taken: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!((taken, quotas.len()), (100, 1));
}

#[test]
fn keys_that_are_full_again_make_room_before_any_that_owes() {
    let quotas = Quotas::new(Quota::per_second(1).burst(10)).at_most(100);
    let now = Instant::now();
    for key in 0..50 {
        assert_eq!(quotas.take(&key, now), Ok(()));
    }
    for key in 50..100 {
        assert_eq!(quotas.take_n(&key, 10, now), Ok(()));
    }
    assert_eq!(quotas.len(), 100);
    let later = now + SECOND;
    for key in 100..150 {
        assert_eq!(quotas.take(&key, later), Ok(()));
    }
    assert_eq!((quotas.len(), quotas.forgotten()), (100, 0));
    for key in 50..100 {
        assert_eq!(quotas.take_n(&key, 2, later), Err(SECOND), "{key}");
    }
}

/// A peer that names a new key each time must not make its own debt forgotten.
#[test]
fn a_flood_of_keys_stays_within_the_bound_and_the_deepest_debt_is_forgotten_last() {
    for at_most in [1, 7, 100, 20_000] {
        let quotas = Quotas::new(Quota::per_minute(10)).at_most(at_most);
        let mut now = Instant::now();
        assert_eq!(quotas.take_n(&u64::MAX, 10, now), Ok(()));
        for key in 0..40_000 {
            now += Duration::from_micros(10);
            assert_eq!(quotas.take(&key, now), Ok(()));
        }
        assert!(quotas.len() <= at_most, "{} of {at_most}", quotas.len());
        assert!(quotas.len() * 2 >= at_most);
        let forgotten = quotas.forgotten();
        assert!(forgotten as usize >= 40_000 - at_most, "{forgotten}");
        let debt = quotas.take(&u64::MAX, now);
        assert_eq!(debt.is_err(), at_most > 1, "{at_most}");
    }
}

#[test]
fn a_key_that_takes_nothing_is_not_remembered() {
    let quotas = Quotas::new(Quota::per_second(1)).at_most(0);
    assert!(quotas.take_n(&1, 0, Instant::now()).is_ok() && quotas.is_empty());
    assert!(quotas.take_n(&1, 2, Instant::now()).is_err() && quotas.is_empty());
    assert!(quotas.take(&1, Instant::now()).is_ok() && !quotas.is_empty());
}
