//! Numbers of bytes.

use crate::ParseError;
use crate::number::split;

/// Units of a size, largest first within each family.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Reads a size in bytes: `65536`, `64KiB`, `64 KiB`, `1.5MB`. A bare number is bytes; units are
/// taken in any case.
///
/// # Errors
/// When the text is not a number, has an unknown unit, does not come out as whole bytes, or is above
/// `u64::MAX`; and for `64k`, which is 64,000 bytes to some programs and 65,536 to others.
pub fn parse_size(text: &str) -> Result<u64, ParseError> {
    let (number, unit) = split(text)?;
    let factor = match unit {
        "" => 1,
        "k" | "K" => return Err(ParseError::AmbiguousUnit('K')),
        "m" | "M" => return Err(ParseError::AmbiguousUnit('M')),
        "g" | "G" => return Err(ParseError::AmbiguousUnit('G')),
        _ => {
            let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit));
            known.ok_or_else(|| ParseError::unknown_unit(unit))?.1
        }
    };
    number.times(factor, ParseError::NotWhole)
}

/// Prints a size in the largest unit of 1024 that divides it: `64KiB`, `65537B`.
/// [`parse_size`] reads back the same number of bytes.
pub fn print_size(bytes: u64) -> String {
    let binary = UNITS.iter().filter(|(name, _)| name.ends_with("iB"));
    for (name, factor) in binary {
        if bytes > 0 && bytes.is_multiple_of(*factor) {
            return format!("{}{name}", bytes / factor);
        }
    }
    format!("{bytes}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_know_both_families_of_units() {
        for (text, bytes) in [
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65_536),
            ("64kb", 64_000),
            ("1 GiB", 1 << 30),
            ("1.5MiB", 1_572_864),
            ("0.5kB", 500),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn an_ambiguous_size_says_both_ways_to_write_it() {
        assert_eq!(
            parse_size("64k").unwrap_err().to_string(),
            "is ambiguous (write KiB for powers of 1024 or KB for powers of 1000)"
        );
    }

    #[test]
    fn a_size_that_is_not_one_says_why() {
        for (text, error) in [
            ("", "is empty"),
            ("KiB", "is not a number"),
            ("-5", "is negative"),
            ("1.5", "is not a whole number"),
            ("64 parsecs", "has the unknown unit \"parsecs\""),
            ("99999999999GiB", "is too large"),
        ] {
            assert_eq!(parse_size(text).unwrap_err().to_string(), error, "{text:?}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit_that_divides_them() {
        for (bytes, text) in [(0, "0B"), (1, "1B"), (65_536, "64KiB"), (65_537, "65537B")] {
            assert_eq!(print_size(bytes), text);
        }
    }
}
