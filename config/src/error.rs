//! Mistakes in a configuration. Each is one sentence that names the key, the value, its origin and
//! what was expected.

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

/// A mistake in a configuration. `Display` is one sentence on one line, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value that its key does not accept.
    #[error("{key} = {value} ({origin}) {problem}: expected {expected}")]
    Value {
        /// Dotted key.
        key: &'static str,
        /// As written, in quotes, shortened if very long.
        value: String,
        /// Layer, file and line.
        origin: String,
        /// What is wrong with it.
        problem: ValueError,
        /// What the key accepts.
        expected: String,
    },
    /// A value that contradicts another one.
    #[error("{key} = {value} ({origin}) {conflict}")]
    Conflict {
        /// Dotted key.
        key: &'static str,
        /// The value.
        value: String,
        /// Layer, file and line.
        origin: String,
        /// The other value, and what to do.
        conflict: String,
    },
    /// A key in a file that does not exist.
    #[error("unknown key {key} ({origin}): the nearest valid key is {nearest}")]
    UnknownKey {
        /// As written.
        key: String,
        /// Layer, file and line.
        origin: String,
        /// The valid key most like it.
        nearest: &'static str,
    },
    /// An empty section in a file that does not exist. One with keys is reported by its keys.
    #[error("unknown section [{name}] ({origin}): expected {expected}")]
    UnknownSection {
        /// As written.
        name: String,
        /// Layer, file and line.
        origin: String,
        /// The valid sections.
        expected: String,
    },
    /// The name of a section in the place of a key.
    #[error("{name} ({origin}) is a section, not a key: write its keys under [{name}]")]
    SectionAsKey {
        /// The section.
        name: String,
        /// Layer, file and line.
        origin: String,
    },
    /// A key that a running server cannot change.
    #[error("{key} takes effect on restart, so it cannot be set while the server runs")]
    NeedsRestart {
        /// Dotted key.
        key: &'static str,
    },
    /// An environment variable with the form of a setting's that names none.
    #[error("unknown environment variable {name}: the nearest valid one is {nearest}")]
    UnknownVariable {
        /// As found.
        name: String,
        /// The valid variable most like it.
        nearest: String,
    },
    /// A profile that does not exist.
    #[error("unknown profile {name} (flag --profile): expected {expected}")]
    UnknownProfile {
        /// As given, in quotes.
        name: String,
        /// The valid profiles.
        expected: String,
    },
    /// A file that cannot be read.
    #[error("cannot read the configuration file {path} (flag --config): {reason}")]
    Unreadable {
        /// Its path.
        path: String,
        /// The system's error.
        reason: String,
    },
    /// A file that is not TOML.
    #[error("{origin} is not valid TOML: {reason}")]
    Syntax {
        /// File and line.
        origin: String,
        /// The parser's error.
        reason: String,
    },
}

/// Every mistake in a configuration, in the order in which the layers are read; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors(Vec<Error>);

impl Errors {
    /// `Err` with `errors`, unless there are none.
    pub(crate) fn check(errors: Vec<Error>) -> Result<(), Self> {
        if errors.is_empty() { Ok(()) } else { Err(Self(errors)) }
    }

    /// A single mistake.
    pub(crate) fn one(error: Error) -> Self {
        Self(vec![error])
    }

    /// The mistakes, to be printed on a line each.
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

/// `text` in quotes, shortened, and with control characters escaped.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

/// As [`quoted`], without the quotes.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut shown: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
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
