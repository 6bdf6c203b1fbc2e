//! Upper bounds of the buckets of histograms.
//!
//! A quantile that is read from a histogram lies somewhere in a bucket, so its bounds say how exact it is.
//! Each bound is a series of each server, so they are not closer than a question needs.

const MICRO: u64 = 1_000;
const MILLI: u64 = 1_000 * MICRO;
const SECOND: u64 = 1_000 * MILLI;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Bounds within a decade, in tenths, each at most a fifth above the one before: a value in the middle of a
/// bucket is at most 10 % from its bounds.
const FINE_STEPS: [u64; 14] = [10, 12, 14, 16, 19, 22, 25, 30, 35, 42, 50, 60, 70, 84];

/// Decades with [`FINE_STEPS`], from 1 µs.
const FINE_DECADES: usize = 5;

const COARSE_STEPS: [u64; 3] = [10, 25, 50];

const COARSE_NANOS: [u64; 22] = decades(&COARSE_STEPS, MICRO);

const FINE_NANOS: [u64; FINE_STEPS.len() * FINE_DECADES + 7] = join(
    decades::<{ FINE_STEPS.len() * FINE_DECADES }>(&FINE_STEPS, MICRO),
    decades::<7>(&COARSE_STEPS, 100 * MILLI),
);

const LIFETIME_NANOS: [u64; 24] = join(
    decades::<13>(&COARSE_STEPS, MILLI),
    [
        30 * SECOND,
        MINUTE,
        5 * MINUTE,
        15 * MINUTE,
        HOUR,
        3 * HOUR,
        8 * HOUR,
        DAY,
        3 * DAY,
        7 * DAY,
        30 * DAY,
    ],
);

/// As many bounds as fit, with `steps` in each decade, from `first`.
const fn decades<const N: usize>(steps: &[u64], first: u64) -> [u64; N] {
    let (mut bounds, mut at, mut decade) = ([0; N], 0, first);
    while at < N {
        bounds[at] = steps[at % steps.len()] * decade / 10;
        at += 1;
        if at.is_multiple_of(steps.len()) {
            decade *= 10;
        }
    }
    bounds
}

const fn join<const A: usize, const B: usize, const N: usize>(
    low: [u64; A],
    high: [u64; B],
) -> [u64; N] {
    assert!(A + B == N);
    let (mut bounds, mut at) = ([0; N], 0);
    while at < N {
        bounds[at] = if at < A { low[at] } else { high[at - A] };
        at += 1;
    }
    bounds
}

/// The bounds of a histogram.
#[derive(Debug)]
pub struct Bounds {
    nanos: &'static [u64],
    /// The first bucket for durations of that many bits.
    first: [u8; 65],
}

impl Bounds {
    const fn new(nanos: &'static [u64]) -> Self {
        let (mut first, mut bits, mut at) = ([0; 65], 1, 0);
        while bits <= 64 {
            while at < nanos.len() && nanos[at] < 1 << (bits - 1) {
                at += 1;
            }
            first[bits] = at as u8;
            bits += 1;
        }
        Self { nanos, first }
    }

    /// The bounds in nanoseconds, ascending.
    pub const fn nanos(&self) -> &'static [u64] {
        self.nanos
    }

    /// The bucket of a duration: that of the first bound that is not below it, or the one above all.
    #[inline]
    pub(super) fn bucket(&self, nanos: u64) -> usize {
        let mut at = usize::from(self.first[(u64::BITS - nanos.leading_zeros()) as usize]);
        // No more steps than there are bounds between two powers of two.
        while self.nanos.get(at).is_some_and(|&bound| nanos > bound) {
            at += 1;
        }
        at
    }
}

/// For the time of batches: from 1 µs to 100 ms each bound is at most a fifth above the one before, so
/// that the median of a service that takes always the same time is shown within 10 %; 1-2.5-5 up to 10 s.
pub static FINE: Bounds = Bounds::new(&FINE_NANOS);

/// For durations of which only the order of magnitude matters: 1-2.5-5 from 1 µs to 10 s.
pub static COARSE: Bounds = Bounds::new(&COARSE_NANOS);

/// For the lives of connections: 1 ms to 30 days.
pub static LIFETIME: Bounds = Bounds::new(&LIFETIME_NANOS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_bucket_of_the_first_bound_that_is_not_below_it() {
        for bounds in [&FINE, &COARSE, &LIFETIME] {
            assert!(bounds.nanos.is_sorted_by(|a, b| a < b), "{:?}", bounds.nanos);
            let around = bounds.nanos.iter().flat_map(|&at| [at - 1, at, at + 1, at + at / 2]);
            for nanos in around.chain([0, 1, u64::MAX]) {
                let expected = bounds.nanos.partition_point(|&bound| bound < nanos);
                assert_eq!(bounds.bucket(nanos), expected, "{nanos}");
            }
        }
    }

    #[test]
    fn the_fine_bounds_have_all_of_the_coarse_ones_and_are_close_to_one_another() {
        assert!(COARSE.nanos.iter().all(|bound| FINE.nanos.contains(bound)));
        assert_eq!((FINE.nanos.first(), FINE.nanos.last()), (Some(&MICRO), Some(&(10 * SECOND))));
        let fine = FINE.nanos.iter().take_while(|&&bound| bound <= 100 * MILLI).collect::<Vec<_>>();
        assert_eq!(fine.len(), FINE_STEPS.len() * FINE_DECADES + 1);
        assert!(fine.windows(2).all(|two| two[1] * 5 <= two[0] * 6), "{fine:?}");
    }
}
