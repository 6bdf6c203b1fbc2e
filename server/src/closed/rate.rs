//! How many records a second are written.

use towline_middleware::stats::Nanos;

const SECOND_NANOS: u64 = 1_000_000_000;

/// Admits a number of records in each second, and counts those that it does not.
#[derive(Debug)]
pub(super) struct Rate {
    per_second_max: u32,
    second_began: Nanos,
    admitted: u32,
    left_out: u64,
}

impl Rate {
    pub(super) const fn new(per_second_max: u32) -> Self {
        Self { per_second_max, second_began: Nanos(0), admitted: 0, left_out: 0 }
    }

    /// Whether a record may be written at `now`. If not, and it was `wanted`, counts it as left out.
    pub(super) fn admit(&mut self, now: Nanos, wanted: bool) -> bool {
        if self.is_over(now) {
            (self.second_began, self.admitted) = (now, 0);
        }
        let admits = self.admitted < self.per_second_max;
        self.admitted += u32::from(admits);
        self.left_out += u64::from(wanted && !admits);
        admits
    }

    /// The records that were left out, once their second is over.
    pub(super) fn take_left_out(&mut self, now: Nanos) -> u64 {
        if self.is_over(now) { std::mem::take(&mut self.left_out) } else { 0 }
    }

    // Shards read the clock one after the other: a reading may be older than the one before.
    const fn is_over(&self, now: Nanos) -> bool {
        now.0.saturating_sub(self.second_began.0) >= SECOND_NANOS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_has_its_records_and_those_left_out_are_told_once_when_it_is_over() {
        let mut rate = Rate::new(2);
        let at = |millis: u64| Nanos(5 * SECOND_NANOS + millis * 1_000_000);
        let admitted = [0, 1, 2, 3, 999].map(|millis| rate.admit(at(millis), millis != 3));
        assert_eq!(admitted, [true, true, false, false, false]);
        assert_eq!(rate.take_left_out(at(999)), 0, "the second is not over");
        assert_eq!([1000, 1001].map(|millis| rate.take_left_out(at(millis))), [2, 0]);
        assert!(rate.admit(at(1002), true));
    }
}
