//! Lengths of time.

use std::time::Duration;

use crate::ParseError;
use crate::number::split;

/// The longest duration that [`parse_duration`] takes: ten years. Sums of a few such durations and
/// the host's uptime stay far below the 584 years that 64 bits of nanoseconds hold.
pub const DURATION_MAX: Duration = Duration::from_secs(3_650 * 86_400);

/// Units of a duration in nanoseconds, largest first.
const UNITS: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("min", 60_000_000_000),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
];

const SECOND: u64 = 1_000_000_000;

/// Reads a duration: `5s`, `250ms`, `1.5m`, `2 h`. A bare number is seconds; units are in lower case.
///
/// # Errors
/// When the text is not a number, has an unknown unit, is not a whole number of nanoseconds, or is
/// above [`DURATION_MAX`].
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => SECOND,
        _ => {
            let known = UNITS.iter().find(|(name, _)| *name == unit);
            known.ok_or_else(|| ParseError::unknown_unit(unit))?.1
        }
    };
    let nanos = number.times(factor, ParseError::TooFine)?;
    let duration = Duration::from_nanos(nanos);
    if duration > DURATION_MAX { Err(ParseError::TooLarge) } else { Ok(duration) }
}

/// Prints a duration in the largest unit of which it is a whole number: `90s`, `1500ms`, `2h`.
/// A single minute or hour prints as `60s` or `60m`, which read better. Below a microsecond the
/// number has a fraction. [`parse_duration`] reads back the same duration, up to [`DURATION_MAX`].
pub fn print_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0ms".to_owned();
    }
    let printed = [("h", 2), ("m", 2), ("s", 1), ("ms", 1), ("us", 1)];
    for (name, at_least) in printed {
        let factor = UNITS.iter().find(|unit| unit.0 == name).map_or(1, |unit| u128::from(unit.1));
        if nanos.is_multiple_of(factor) && nanos >= at_least * factor {
            return format!("{}{name}", nanos / factor);
        }
    }
    format!("{}.{:03}us", nanos / 1_000, nanos % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_every_unit_and_fractions() {
        for (text, nanos) in [
            ("60s", 60 * SECOND),
            ("5", 5 * SECOND),
            ("1.5", 1_500_000_000),
            ("0.5us", 500),
            ("250us", 250_000),
            ("100ms", 100_000_000),
            ("1m", 60 * SECOND),
            ("1.5min", 90 * SECOND),
            ("2 h", 7_200 * SECOND),
            ("0.25d", 21_600 * SECOND),
            ("0.1s", 100_000_000),
            ("3650d", DURATION_MAX.as_secs() * SECOND),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn a_duration_that_is_not_one_says_why() {
        for (text, error) in [
            ("", "is empty"),
            ("s", "is not a number"),
            ("off", "is not a number"),
            ("-1s", "is negative"),
            ("1,5s", "has a comma (write 1.5 for a fraction, 10_000 for thousands)"),
            ("5x", "has the unknown unit \"x\""),
            ("5S", "has the unknown unit \"S\""),
            ("5 parsecs", "has the unknown unit \"parsecs\""),
            ("0.1234us", "is finer than a nanosecond"),
            ("0.0000000000000000001d", "is finer than a nanosecond"),
            ("3651d", "is too large"),
            ("99999999999999999999d", "is too large"),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), error, "{text:?}");
        }
    }

    #[test]
    fn durations_print_as_people_say_them() {
        for (seconds, text) in
            [(1, "1s"), (60, "60s"), (90, "90s"), (120, "2m"), (3600, "60m"), (7200, "2h")]
        {
            assert_eq!(print_duration(Duration::from_secs(seconds)), text);
        }
        assert_eq!(print_duration(Duration::ZERO), "0ms");
        assert_eq!(print_duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(print_duration(Duration::from_micros(1_500)), "1500us");
        assert_eq!(print_duration(Duration::from_nanos(1_050)), "1.050us");
    }
}
