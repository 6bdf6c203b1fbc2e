//! The arithmetic of the generic cell rate algorithm, in integers.

use std::{fmt, sync::OnceLock, time::Duration};

use tokio::time::Instant;

/// Units of time in a nanosecond. A sixteenth is fine enough to keep a rate of a million per second to one part
/// in 16,000, and coarse enough for 36 years in 64 bits.
const UNITS_PER_NANO: u64 = 16;
const UNITS_PER_SECOND: u64 = 1_000_000_000 * UNITS_PER_NANO;

/// The number of units of the first `Instant` that is converted. Nine years fit below it, and 27 years above it.
const ORIGIN: u64 = 1 << 62;

/// An interval's 32 bits are a mantissa and, below it, an exponent.
const MANTISSA_BITS: u32 = 26;
const EXPONENT_BITS: u32 = u32::BITS - MANTISSA_BITS;
const MANTISSA_MAX: u32 = (1 << MANTISSA_BITS) - 1;
const EXPONENT_MAX: u32 = u64::BITS - MANTISSA_BITS;

/// Converts `time` to units. A time outside of the range becomes the nearest one inside.
#[inline]
pub(super) fn units(time: Instant) -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = *FIRST.get_or_init(|| time);
    match time.checked_duration_since(first) {
        Some(since) => ORIGIN.saturating_add(duration_units(since)),
        None => ORIGIN.saturating_sub(duration_units(first.saturating_duration_since(time))),
    }
}

#[inline]
fn duration_units(time: Duration) -> u64 {
    let seconds = time.as_secs().saturating_mul(UNITS_PER_SECOND);
    seconds.saturating_add(u64::from(time.subsec_nanos()) * UNITS_PER_NANO)
}

/// Converts `units` to a duration, rounded up to whole nanoseconds.
const fn duration(units: u64) -> Duration {
    Duration::from_nanos(units.div_ceil(UNITS_PER_NANO))
}

/// The time between two events at a rate: a floating-point number of units, rounded up, so that a rate is
/// never above what was asked for. Exact below 4.2 ms, and for every longer interval to one part in 2^25.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Interval(u32);

impl Interval {
    /// Longer than 27 years: this rate lets nothing through.
    const NEVER: Self = Self((MANTISSA_MAX << EXPONENT_BITS) | EXPONENT_MAX);

    const fn new(period: Duration, count: u32) -> Self {
        if count == 0 {
            return Self::NEVER;
        }
        // A `Duration` has less than 2^94 nanoseconds.
        let units = (period.as_nanos() * UNITS_PER_NANO as u128).div_ceil(count as u128);
        let bits = u128::BITS - units.leading_zeros();
        let mut exponent = bits.saturating_sub(MANTISSA_BITS);
        let mut mantissa = units.div_ceil(1 << exponent);
        if mantissa > MANTISSA_MAX as u128 {
            // Rounding up made the mantissa one bit longer.
            (mantissa, exponent) = (mantissa >> 1, exponent + 1);
        }
        if exponent > EXPONENT_MAX {
            return Self::NEVER;
        }
        Self(((mantissa as u32) << EXPONENT_BITS) | exponent)
    }

    #[inline]
    const fn units(self) -> u64 {
        let exponent = self.0 & ((1 << EXPONENT_BITS) - 1);
        ((self.0 >> EXPONENT_BITS) as u64) << exponent
    }
}

impl fmt::Debug for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        duration(self.units()).fmt(f)
    }
}

/// A rate and a burst. The state of a quota is one number beside it: the time in units at which it is full again.
/// 0 is before every other time, and means full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Gcra {
    interval: Interval,
    burst: u32,
}

impl Gcra {
    pub(super) const fn new(period: Duration, count: u32, burst: u32) -> Self {
        Self { interval: Interval::new(period, count), burst }
    }

    pub(super) const fn with_burst(self, burst: u32) -> Self {
        Self { burst, ..self }
    }

    /// Takes `count` from a quota that is full at `full_at`. Returns the time at which it is full afterwards.
    ///
    /// # Errors
    /// The time from `now` until `count` are available.
    #[inline]
    pub(super) fn take(self, full_at: u64, now: u64, count: u32) -> Result<u64, Duration> {
        if count == 0 {
            return Ok(full_at);
        }
        if count > self.burst {
            return Err(Duration::MAX);
        }
        let cost = self.interval.units().saturating_mul(count.into());
        let Some(end) = full_at.max(now).checked_add(cost) else { return Err(Duration::MAX) };
        let missing = (end - now).saturating_sub(self.full());
        if missing == 0 { Ok(end) } else { Err(duration(missing)) }
    }

    /// Takes as many as are available, at most `count`. Returns how many, and the time at which the quota is full
    /// afterwards.
    #[inline]
    pub(super) fn take_up_to(self, full_at: u64, now: u64, count: u32) -> (u32, u64) {
        let begin = full_at.max(now);
        let room = self.full().saturating_sub(begin - now).min(u64::MAX - begin);
        let interval = self.interval.units();
        let there = room.checked_div(interval).unwrap_or(u64::MAX).min(self.burst.into());
        // The cast fits: `there` is at most `burst`.
        let taken = count.min(there as u32);
        if taken == 0 {
            return (0, full_at);
        }
        (taken, begin + interval * u64::from(taken))
    }

    /// Takes `count` from a quota that is full at `full_at`, also if fewer are available, and never owes more than
    /// `debt_max`. Returns the time at which it is full afterwards, and the time from `now` until nothing is owed.
    pub(super) fn owe(
        self,
        full_at: u64,
        now: u64,
        count: u32,
        debt_max: Duration,
    ) -> (u64, Duration) {
        let cost = self.interval.units().saturating_mul(count.into());
        let latest = now.saturating_add(self.full()).saturating_add(duration_units(debt_max));
        let end = full_at.max(now).saturating_add(cost).min(latest);
        (end, duration((end - now).saturating_sub(self.full())))
    }

    /// The time in which an empty quota is full again.
    #[inline]
    const fn full(self) -> u64 {
        self.interval.units().saturating_mul(self.burst as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_interval_is_never_shorter_than_asked_for_and_hardly_longer() {
        let periods = [1, 1_000, 999_983, 60_000_000_000, u64::MAX / 64].map(Duration::from_nanos);
        for period in periods {
            for count in [1, 2, 3, 7, 1_000, 999_983, u32::MAX] {
                let exact = (period.as_nanos() * 16).div_ceil(count.into());
                let stored = u128::from(Interval::new(period, count).units());
                let excess = stored - exact;
                assert!(excess <= exact >> 25, "{period:?} / {count}: {stored} for {exact}");
            }
        }
    }

    #[test]
    fn intervals_of_nothing_and_of_for_ever_are_the_ends_of_the_range() {
        assert_eq!(Interval::new(Duration::ZERO, 1).units(), 0);
        assert_eq!(Interval::new(SECOND, 0), Interval::NEVER);
        assert_eq!(Interval::new(Duration::MAX, 1), Interval::NEVER);
        assert!(Interval::NEVER.units().checked_add(ORIGIN).is_none());
    }

    #[test]
    fn times_before_the_first_are_in_order() {
        let now = Instant::now();
        let before = now.checked_sub(Duration::from_nanos(3)).unwrap_or(now);
        assert_eq!(units(now) - units(before), (now - before).as_nanos() as u64 * 16);
    }
}
