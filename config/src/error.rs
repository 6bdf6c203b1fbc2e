//! What can be wrong with a configuration. Each error is one sentence for the person who wrote it:
//! the key or flag, the value, where it stands, and what was expected.

use std::{borrow::Cow, fmt};

use towline_units::ParseError;

/// Why a text is not a value of its key. `Display` is the part of a sentence that follows the value,
/// such as `is negative`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError(Cow<'static, str>);

impl ValueError {
    pub(crate) const EMPTY: Self = Self(Cow::Borrowed("is empty"));
    pub(crate) const TOO_LARGE: Self = Self(Cow::Borrowed("is too large"));

    pub(crate) fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

impl From<ParseError> for ValueError {
    fn from(error: ParseError) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

/// One mistake. `Display` is one sentence on one line, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value its key does not take.
    #[error("{key} = {value} ({origin}) {problem}: expected {expected}")]
    Value {
        /// Dotted key.
        key: &'static str,
        /// As written, in quotes and shortened when very long.
        value: String,
        /// Where it was written.
        origin: String,
        /// What is wrong with it.
        problem: ValueError,
        /// What the key takes.
        expected: String,
    },
    /// A valid value that asks for a feature this version does not have.
    #[error("{key} = {value} ({origin}) is refused: {reason}")]
    NotBuilt {
        /// Dotted key.
        key: &'static str,
        /// The value.
        value: String,
        /// Where it was written.
        origin: String,
        /// Which feature is missing, and which value is accepted meanwhile.
        reason: String,
    },
    /// Two valid values that cannot stand together.
    #[error("{key} = {value} ({origin}) {conflict}")]
    Conflict {
        /// Dotted key.
        key: &'static str,
        /// The value.
        value: String,
        /// Where it was written.
        origin: String,
        /// With what, and what to do.
        conflict: String,
    },
    /// A key of a file that does not exist.
    #[error("unknown key {key} ({origin}): the nearest valid key is {nearest}")]
    UnknownKey {
        /// As written.
        key: String,
        /// Where it was written.
        origin: String,
        /// The valid key most like it.
        nearest: &'static str,
    },
    /// A section of a file that does not exist, and has no keys that could be named instead.
    #[error("unknown section [{name}] ({origin}): expected {expected}")]
    UnknownSection {
        /// As written.
        name: String,
        /// Where it was written.
        origin: String,
        /// The sections there are.
        expected: String,
    },
    /// A section's name where a key was meant.
    #[error("{name} ({origin}) is a section, not a key: write its keys under [{name}]")]
    SectionAsKey {
        /// The section.
        name: String,
        /// Where it was written.
        origin: String,
    },
    /// An environment variable that looks like a setting and is none.
    #[error("unknown environment variable {name}: the nearest valid one is {nearest}")]
    UnknownVariable {
        /// As found.
        name: String,
        /// The variable most like it.
        nearest: String,
    },
    /// A profile that does not exist.
    #[error("unknown profile {name} (flag --profile): expected {expected}")]
    UnknownProfile {
        /// As given, in quotes.
        name: String,
        /// The profiles there are.
        expected: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the configuration file {path} (flag --config): {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// A file that is not TOML.
    #[error("{origin} is not valid TOML: {reason}")]
    Syntax {
        /// File and line.
        origin: String,
        /// What the parser said.
        reason: String,
    },
}

/// Every mistake that was found, in the order in which the layers are read; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Err` with the mistakes when there are any.
    pub(crate) fn check(errors: Vec<Error>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// The mistakes one by one: print each on a line of its own.
    pub fn iter(&self) -> std::slice::Iter<'_, Error> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a Error;
    type IntoIter = std::slice::Iter<'a, Error>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}

/// `text` in quotes, on one line, and short: it may be a megabyte, or hold control characters that
/// would move a terminal's cursor.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// As [`quoted`], without the quotes.
pub(crate) fn shown(text: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn alternatives<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
