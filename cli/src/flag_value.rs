//! Values of flags that are numbers with units: the grammar of `towline-units`, and what was expected.

use std::time::Duration;

use towline_units::{parse_count, parse_duration, parse_rate};

/// Reads a count, such as `10k`.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    parse_count(text).map_err(|error| {
        format!("`{text}` {error}: expected a whole number, such as 1000, 10k or 1m")
    })
}

/// Reads a count that fits 32 bits.
pub(crate) fn count_u32(text: &str) -> Result<u32, String> {
    u32::try_from(count(text)?)
        .map_err(|_overflow| format!("`{text}` is too large: expected at most 4,294,967,295"))
}

/// Reads a duration, such as `100ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).map_err(|error| {
        format!(
            "`{text}` {error}: expected a duration, such as 60s (units us, ms, s, m, h, d; \
             seconds without one)"
        )
    })
}

/// Reads a rate per second, such as `5k`.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    parse_rate(text).map_err(|error| {
        format!(
            "`{text}` {error}: expected a rate per second above 0 and up to 1000m, such as 2000, \
             5k or 100/s"
        )
    })
}
