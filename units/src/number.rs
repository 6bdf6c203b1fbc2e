//! The number in front of a unit, kept exact.

use crate::ParseError;

/// Digits kept behind the point. With up to 20 digits before the point and the largest unit after the
/// number, every value that fits 64 bits is exact in 128.
const FRACTION_DIGITS_MAX: usize = 18;

/// A number without a sign: `mantissa / 10^scale`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decimal {
    mantissa: u128,
    scale: u32,
    /// Whether digits of the fraction were left out.
    cut: bool,
}

impl Decimal {
    /// The number times `factor`; `not_whole` when that has a fraction.
    pub(crate) fn times(self, factor: u64, not_whole: ParseError) -> Result<u64, ParseError> {
        let product = self.mantissa.checked_mul(factor.into()).ok_or(ParseError::TooLarge)?;
        let divisor = 10u128.pow(self.scale);
        if self.cut || !product.is_multiple_of(divisor) {
            return Err(not_whole);
        }
        u64::try_from(product / divisor).map_err(|_overflow| ParseError::TooLarge)
    }

    /// The number times `factor`, as a float.
    pub(crate) fn times_f64(self, factor: u32) -> f64 {
        (self.mantissa * u128::from(factor)) as f64 / 10f64.powi(self.scale as i32)
    }
}

/// Splits a text into its number and its unit, which may be empty.
///
/// Digits may have single underscores between them, as in Rust and TOML. A point needs digits after
/// it, but not before it: `.5` is a number, `5.` is none.
pub(crate) fn split(text: &str) -> Result<(Decimal, &str), ParseError> {
    if text.is_empty() {
        return Err(ParseError::Empty);
    }
    if text.starts_with('-') {
        return Err(ParseError::Negative);
    }
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(after) => digits(after),
        None => ("0", rest),
    };
    let whole = if whole.is_empty() && rest.len() < text.len() { "0" } else { whole };
    let (whole, fraction) = (plain(whole)?, plain(fraction)?);
    if rest.starts_with(',') {
        return Err(ParseError::Comma);
    }
    let fraction = fraction.trim_end_matches('0');
    let cut = fraction.len() > FRACTION_DIGITS_MAX;
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let whole: u64 = whole.parse().map_err(|_overflow| ParseError::TooLarge)?;
    // At most 18 digits, or none.
    let part: u64 = fraction.parse().unwrap_or(0);
    let scale = fraction.len() as u32;
    let mantissa = u128::from(whole) * 10u128.pow(scale) + u128::from(part);
    Ok((Decimal { mantissa, scale, cut }, rest.trim_start()))
}

/// The digits and underscores that `text` begins with, and what follows them.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    text.split_at(end)
}

/// Digits without their underscores, each of which must have a digit on both sides.
fn plain(digits: &str) -> Result<String, ParseError> {
    if digits.split('_').any(str::is_empty) {
        return Err(ParseError::NotANumber);
    }
    Ok(digits.replace('_', ""))
}
