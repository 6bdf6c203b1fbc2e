//! Numbers as people write them: `10k`, `2.5s`, `100ms`, `20000/s`. The suffixes are tcpkali's.

use std::time::Duration;

use crate::error::LoadError;

/// A count: `1000`, `10k` (thousands) or `1m` (millions); fractions such as `0.5k` must come out whole.
///
/// # Errors
/// When it is not a number, is negative or is not whole.
pub fn count(text: &str) -> Result<u64, LoadError> {
    let value = scaled(text).filter(|v| v.fract() == 0.0 && (0.0..=1e15).contains(v));
    value.map(|v| v as u64).ok_or_else(|| {
        LoadError::usage(format!(
            "`{text}` is not a count: expected a number such as 1000, 10k or 1m"
        ))
    })
}

/// A rate a second: `2000`, `2000/s`, `5k`, `0.5`. Zero is no rate.
///
/// # Errors
/// When it is not a number above zero, or above a thousand million a second.
pub fn rate(text: &str) -> Result<f64, LoadError> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    let value = scaled(number).ok_or_else(|| {
        LoadError::usage(format!(
            "`{text}` is not a rate: expected a number such as 2000, 5k or 100/s"
        ))
    })?;
    if value <= 0.0 {
        return Err(LoadError::usage(format!(
            "a rate of `{text}` sends nothing: expected more than 0"
        )));
    }
    if value > 1e9 {
        return Err(LoadError::usage(format!(
            "a rate of `{text}` is more than any host can send: expected at most 1000m"
        )));
    }
    Ok(value)
}

/// A span of time: `60s`, `100ms`, `1.5m`, `1h`, `1d`, `250us`; a bare number is in seconds.
///
/// # Errors
/// When it is not a number, is negative, or has a suffix that is not a unit of time.
pub fn duration(text: &str) -> Result<Duration, LoadError> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "d" => 86400.0,
        _ => f64::NAN,
    };
    let seconds = plain(digits).map_or(f64::NAN, |n| n * unit);
    if (0.0..=31_536_000.0).contains(&seconds) {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(LoadError::usage(format!(
        "`{text}` is not a span of time: expected a number with us, ms, s, m, h or d, such as 60s"
    )))
}

/// A number with at most one of the suffixes `k` and `m`.
pub(crate) fn scaled(text: &str) -> Option<f64> {
    let (digits, scale) = match text.as_bytes().last()? {
        b'k' | b'K' => (&text[..text.len() - 1], 1e3),
        b'm' | b'M' => (&text[..text.len() - 1], 1e6),
        _ => (text, 1.0),
    };
    plain(digits).map(|n| n * scale)
}

/// Digits with at most a point: Rust's own parser would also take `inf`, `nan` and exponents.
fn plain(digits: &str) -> Option<f64> {
    let allowed = |c: char| c.is_ascii_digit() || c == '.' || c == '_';
    if digits.is_empty() || !digits.chars().all(allowed) {
        return None;
    }
    digits.replace('_', "").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_take_the_suffixes_of_tcpkali() {
        assert_eq!(count("10k").unwrap(), 10_000);
        assert_eq!(count("1.5m").unwrap(), 1_500_000);
        for bad in ["", "k", "-1", "1.5", "ten", "1e3", "inf"] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_rate_is_above_zero_and_below_the_absurd() {
        assert_eq!(rate("2000/s").unwrap(), 2000.0);
        assert_eq!(rate("0.5").unwrap(), 0.5);
        for bad in ["0", "0/s", "2000m", "nan", "-5", "fast"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_of_time_name_their_unit() {
        assert_eq!(duration("60s").unwrap(), Duration::from_secs(60));
        assert_eq!(duration("1.5").unwrap(), Duration::from_millis(1500));
        assert_eq!(duration("100ms").unwrap(), Duration::from_millis(100));
        assert_eq!(duration("1m").unwrap(), Duration::from_secs(60));
        for bad in ["", "s", "5x", "-1s", "1e9d", "100000d"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
