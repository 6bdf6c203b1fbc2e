//! Why a text is not a number with a unit.

/// What is wrong with a text.
///
/// `Display` is the end of a sentence whose beginning names the value: `is negative`,
/// `has the unknown unit "x"`. It is short and has no control characters, whatever the text was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There is no text.
    #[error("is empty")]
    Empty,
    /// The number has a minus sign.
    #[error("is negative")]
    Negative,
    /// The text does not begin with a number.
    #[error("is not a number")]
    NotANumber,
    /// A comma follows the number: a decimal comma to some, a separator of thousands to others.
    #[error("has a comma (write 1.5 for a fraction, 10_000 for thousands)")]
    Comma,
    /// A count or size with a fraction that its unit does not make whole.
    #[error("is not a whole number")]
    NotWhole,
    /// A duration that is not a whole number of nanoseconds.
    #[error("is finer than a nanosecond")]
    TooFine,
    /// A rate of zero.
    #[error("is zero")]
    Zero,
    /// The value is above what the result can hold, or above the bound that the function documents.
    #[error("is too large")]
    TooLarge,
    /// The unit is not one of this kind of number.
    #[error("has the unknown unit \"{0}\"")]
    UnknownUnit(String),
    /// A size in `k`, `m` or `g`, which programs read in two ways; holds the letter in upper case.
    #[error("is ambiguous (write {0}iB for powers of 1024 or {0}B for powers of 1000)")]
    AmbiguousUnit(char),
}

impl ParseError {
    /// [`UnknownUnit`](Self::UnknownUnit) with `unit` escaped and shortened.
    pub(crate) fn unknown_unit(unit: &str) -> Self {
        const CHARS_MAX: usize = 40;
        let mut shown: String = unit.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
        if unit.chars().nth(CHARS_MAX).is_some() {
            shown.push('…');
        }
        Self::UnknownUnit(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_or_garbled_unit_is_shown_short_and_clean() {
        let shown = ParseError::unknown_unit(&"\u{1b}[2J\n".repeat(100_000)).to_string();
        assert!(shown.len() < 300 && !shown.contains(char::is_control), "{shown}");
    }
}
