//! Numbers with units, as people write them, and back. Pure text: no key, no setting.
//!
//! | what | written | units |
//! |---|---|---|
//! | count | `10000`, `10_000`, `10k` | `k` thousand, `M` million, in either case |
//! | size | `65536`, `64KiB`, `1MB` | `B KiB MiB GiB` (1024) and `kB MB GB` (1000), in any case |
//! | time | `5s`, `250ms` | `ms s m h`, in lower case |
//!
//! What is written differently by different programs is refused rather than guessed: `64k` as a
//! size (64,000 bytes to some, 65,536 to others) and `5` as a time.

use std::time::Duration;

use crate::error::Problem;

/// Units of a size, largest first within each family.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Units of a time in milliseconds, largest first.
const TIMES: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// `10000`, `10_000`, `10k`, `1M`.
pub(crate) fn parse_count(text: &str) -> Result<u64, Problem> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1,
        "k" | "K" => 1_000,
        "m" | "M" => 1_000_000,
        _ => return Err(Problem::unknown_unit(unit)),
    };
    number.checked_mul(factor).ok_or(Problem::TOO_LARGE)
}

/// `65536`, `64KiB`, `64 KiB`, `64kB`; bytes when there is no unit.
pub(crate) fn parse_size(text: &str) -> Result<u64, Problem> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1,
        "k" | "K" | "m" | "M" | "g" | "G" => {
            let upper = unit.to_uppercase();
            return Err(Problem::new(format!(
                "is ambiguous (write {upper}iB for powers of 1024 or {upper}B for powers of 1000)"
            )));
        }
        _ => {
            SIZES
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .ok_or_else(|| Problem::unknown_unit(unit))?
                .1
        }
    };
    number.checked_mul(factor).ok_or(Problem::TOO_LARGE)
}

/// The size in the largest unit of 1024 that divides it.
pub(crate) fn print_size(bytes: u64) -> String {
    let binary = SIZES.iter().filter(|(name, _)| name.ends_with("iB"));
    for (name, factor) in binary {
        if bytes > 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{name}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

/// `5s`, `250ms`, `2 m`; a unit is required.
pub(crate) fn parse_time(text: &str) -> Result<Duration, Problem> {
    let (number, unit) = split(text)?;
    if unit.is_empty() {
        return Err(Problem::new("has no unit"));
    }
    let factor =
        TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(|| Problem::unknown_unit(unit))?.1;
    number.checked_mul(factor).map(Duration::from_millis).ok_or(Problem::TOO_LARGE)
}

/// The time in the largest unit of which it holds a whole number, two or more: `60s`, not `1m`.
pub(crate) fn print_time(time: Duration) -> String {
    let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    for (name, factor) in TIMES {
        // A lone minute or hour reads worse than its seconds or minutes.
        let at_least = if factor > 1_000 { 2 * factor } else { factor };
        if milliseconds.is_multiple_of(factor) && milliseconds >= at_least {
            return format!("{}{name}", milliseconds / factor);
        }
    }
    format!("{milliseconds}ms")
}

/// The number in front and the unit behind it, which may be empty.
fn split(text: &str) -> Result<(u64, &str), Problem> {
    if text.is_empty() {
        return Err(Problem::EMPTY);
    }
    if text.starts_with('-') {
        return Err(Problem::new("is negative"));
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    // As in Rust and TOML: an underscore stands between digits, and nowhere else.
    if digits.is_empty() || digits.split('_').any(str::is_empty) {
        return Err(Problem::new("is not a number"));
    }
    if rest.starts_with(['.', ',']) {
        return Err(Problem::new("is not a whole number"));
    }
    let number = digits.replace('_', "").parse().map_err(|_error| Problem::TOO_LARGE)?;
    Ok((number, rest.trim_start()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn problem<T: std::fmt::Debug>(result: Result<T, Problem>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn counts_take_underscores_and_thousands() {
        for (text, count) in [("7", 7), ("10_000", 10_000), ("10k", 10_000), ("1M", 1_000_000)] {
            assert_eq!(parse_count(text).unwrap(), count, "{text}");
        }
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        for (text, bytes) in
            [("512", 512), ("512B", 512), ("64KiB", 65_536), ("64kb", 64_000), ("1 GiB", 1 << 30)]
        {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn an_ambiguous_size_says_both_ways_to_write_it() {
        assert_eq!(
            problem(parse_size("64k")),
            "is ambiguous (write KiB for powers of 1024 or KB for powers of 1000)"
        );
    }

    #[test]
    fn times_need_a_unit() {
        assert_eq!(problem(parse_time("5")), "has no unit");
        assert_eq!(problem(parse_time("5 parsecs")), "has the unknown unit \"parsecs\"");
        assert_eq!(parse_time("5 s").unwrap(), Duration::from_secs(5));
    }

    #[test]
    fn times_print_as_people_say_them() {
        for (seconds, text) in [(1, "1s"), (60, "60s"), (90, "90s"), (120, "2m"), (7200, "2h")] {
            assert_eq!(print_time(Duration::from_secs(seconds)), text);
        }
        assert_eq!(print_time(Duration::from_millis(1_500)), "1500ms");
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in ["", "_1", "1_", "1__0", "x", "+1", "KiB"] {
            assert!(parse_size(text).is_err(), "{text:?}");
        }
        assert_eq!(problem(parse_count("-1")), "is negative");
        assert_eq!(problem(parse_time("1.5s")), "is not a whole number");
        assert_eq!(problem(parse_size("99999999999GiB")), "is too large");
        assert_eq!(problem(parse_count("99999999999999999999")), "is too large");
    }

    proptest! {
        #[test]
        fn a_printed_size_reads_back_as_itself(bytes: u64) {
            prop_assert_eq!(parse_size(&print_size(bytes)).unwrap(), bytes);
        }

        #[test]
        fn a_printed_time_reads_back_as_itself(milliseconds in 0..u64::MAX / 2) {
            let time = Duration::from_millis(milliseconds);
            prop_assert_eq!(parse_time(&print_time(time)).unwrap(), time);
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC*") {
            let _ = (parse_count(&text), parse_size(&text), parse_time(&text));
        }
    }
}
