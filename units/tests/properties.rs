//! What holds for every text and every value.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::time::Duration;

use proptest::prelude::*;
use towline_units::{
    DURATION_MAX, parse_count, parse_duration, parse_number, parse_rate, parse_size,
    print_duration, print_size,
};

proptest! {
    #[test]
    fn a_printed_size_reads_back_as_itself(bytes: u64) {
        prop_assert_eq!(parse_size(&print_size(bytes)).unwrap(), bytes);
    }

    #[test]
    fn a_printed_duration_reads_back_as_itself(
        count in 0..=DURATION_MAX.as_secs(),
        unit in prop::sample::select(vec![1u64, 1_000, 1_000_000, 1_000_000_000]),
    ) {
        let duration = Duration::from_nanos(count * unit);
        prop_assert_eq!(parse_duration(&print_duration(duration)).unwrap(), duration);
    }

    #[test]
    fn a_fraction_of_a_unit_is_exact(thousandths: u32) {
        let text = format!("{}.{:03}", thousandths / 1000, thousandths % 1000);
        prop_assert_eq!(parse_count(&format!("{text}k")).unwrap(), u64::from(thousandths));
        prop_assert_eq!(parse_size(&format!("{text}kB")).unwrap(), u64::from(thousandths));
        prop_assert_eq!(
            parse_duration(&format!("{text}s")).unwrap(),
            Duration::from_millis(thousandths.into())
        );
        prop_assert_eq!(parse_number(&format!("{text}k")).unwrap(), f64::from(thousandths));
    }

    #[test]
    fn no_text_makes_the_readers_panic(text in "\\PC*") {
        let _ = (
            parse_count(&text),
            parse_size(&text),
            parse_duration(&text),
            parse_rate(&text),
            parse_number(&text),
        );
    }

    #[test]
    fn no_text_that_looks_like_a_number_makes_the_readers_panic(
        text in "[-+]?[0-9_]{0,45}[.,]?[0-9_]{0,45} ?(k|M|g|KiB|GB|us|d|min|/s)?",
    ) {
        let _ = (
            parse_count(&text),
            parse_size(&text),
            parse_duration(&text),
            parse_rate(&text),
            parse_number(&text),
        );
    }
}
