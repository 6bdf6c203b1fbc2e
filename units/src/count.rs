//! How many of something.

use crate::ParseError;
use crate::number::split;

/// Reads a count: `10000`, `10_000`, `10k`, `1.5M`.
///
/// # Errors
/// When the text is not a number, has another unit than `k` or `M` (in either case), does not come
/// out whole, or is above `u64::MAX`.
pub fn parse_count(text: &str) -> Result<u64, ParseError> {
    let (number, unit) = split(text)?;
    let factor = factor(unit)?;
    number.times(factor.into(), ParseError::NotWhole)
}

/// What a unit of counts and rates multiplies by.
pub(crate) fn factor(unit: &str) -> Result<u32, ParseError> {
    match unit {
        "" => Ok(1),
        "k" | "K" => Ok(1_000),
        "m" | "M" => Ok(1_000_000),
        _ => Err(ParseError::unknown_unit(unit)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_underscores_thousands_and_millions() {
        for (text, count) in [
            ("7", 7),
            ("10_000", 10_000),
            ("10k", 10_000),
            ("1M", 1_000_000),
            ("1.5m", 1_500_000),
            ("0.5K", 500),
            (".5k", 500),
            ("2.0", 2),
        ] {
            assert_eq!(parse_count(text), Ok(count), "{text}");
        }
    }

    #[test]
    fn a_count_that_is_not_one_says_why() {
        for (text, error) in [
            ("", "is empty"),
            ("k", "is not a number"),
            ("ten", "is not a number"),
            ("inf", "is not a number"),
            ("+1", "is not a number"),
            ("5.", "is not a number"),
            ("1__0", "is not a number"),
            ("_1", "is not a number"),
            ("1_", "is not a number"),
            ("-1", "is negative"),
            ("1.5", "is not a whole number"),
            ("1.0005k", "is not a whole number"),
            ("1.0000000000000000000000001M", "is not a whole number"),
            ("10,000", "has a comma (write 1.5 for a fraction, 10_000 for thousands)"),
            ("1e3", "has the unknown unit \"e3\""),
            ("5 parsecs", "has the unknown unit \"parsecs\""),
            ("99999999999999999999", "is too large"),
            ("18446744073709551615k", "is too large"),
        ] {
            assert_eq!(parse_count(text).unwrap_err().to_string(), error, "{text:?}");
        }
    }
}
