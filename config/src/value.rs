//! The value of a setting, for output to a terminal, to TOML and to JSON.

use std::fmt;

/// The value of a setting. `Display` is the text that a flag or variable takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A word, an address, or a number with its unit.
    Text(String),
    /// A plain number.
    Number(u64),
    /// `true` or `false`.
    Bool(bool),
}

impl Value {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// As TOML: only texts are quoted.
    #[cfg(feature = "file")]
    pub fn to_toml(&self) -> String {
        match self {
            Self::Text(text) => toml::Value::String(text.clone()).to_string(),
            Self::Number(_) | Self::Bool(_) => self.to_string(),
        }
    }

    /// As JSON: only texts are quoted.
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Bool(bool) => (*bool).into(),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Bool(bool) => bool.fmt(f),
        }
    }
}
