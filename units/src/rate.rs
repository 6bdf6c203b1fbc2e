//! Rates per second, and other numbers that need not be whole.

use crate::ParseError;
use crate::count::factor;
use crate::number::split;

/// The highest rate that [`parse_rate`] takes: more than any host can send.
pub const RATE_MAX: f64 = 1e9;

/// Reads a rate per second: `2000`, `2000/s`, `5k`, `0.5`.
///
/// # Errors
/// When the text is not a number, has another unit than `k` or `M` (in either case, `/s` aside), is
/// zero, or is above [`RATE_MAX`].
pub fn parse_rate(text: &str) -> Result<f64, ParseError> {
    let rate = parse_number(text.strip_suffix("/s").unwrap_or(text))?;
    if rate == 0.0 {
        return Err(ParseError::Zero);
    }
    if rate > RATE_MAX { Err(ParseError::TooLarge) } else { Ok(rate) }
}

/// Reads a number that need not be whole: `0.99`, `1k`, `2.5M`.
///
/// # Errors
/// When the text is not a number, or has another unit than `k` or `M` (in either case).
pub fn parse_number(text: &str) -> Result<f64, ParseError> {
    let (number, unit) = split(text)?;
    Ok(number.times_f64(factor(unit)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_take_a_unit_of_counts_and_per_second() {
        for (text, rate) in
            [("2000", 2000.0), ("2000/s", 2000.0), ("5k", 5000.0), ("0.5", 0.5), ("1.5k/s", 1500.0)]
        {
            assert_eq!(parse_rate(text), Ok(rate), "{text}");
        }
    }

    #[test]
    fn a_rate_that_is_not_one_says_why() {
        for (text, error) in [
            ("", "is empty"),
            ("/s", "is empty"),
            ("0", "is zero"),
            ("0.0k/s", "is zero"),
            ("-5", "is negative"),
            ("nan", "is not a number"),
            ("fast", "is not a number"),
            ("5/m", "has the unknown unit \"/m\""),
            ("2000m", "is too large"),
        ] {
            assert_eq!(parse_rate(text).unwrap_err().to_string(), error, "{text:?}");
        }
    }
}
