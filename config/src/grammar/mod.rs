//! What texts a setting takes, and what they mean: one small grammar per kind of value.
//!
//! A grammar reads a text into the setting's own type, writes it back so that reading it again gives
//! the same, and says in words what it expects. Bounds live here, so a value that was read is valid.

mod address;
mod number;
mod word;

pub(crate) use address::{Address, ListenAddress, Path};
pub(crate) use number::{Count, Size, Time};
pub(crate) use word::{Every, Or, ProcessCount, Words};

use crate::{error::ValueError, value::Value};

/// A way to write a `T`.
pub(crate) trait Grammar<T>: Sync {
    /// The meaning of `text`.
    fn parse(&self, text: &str) -> Result<T, ValueError>;

    /// The text of `value`, such that `parse` gives it back.
    fn print(&self, value: &T) -> Value;

    /// What `parse` takes, to follow "expected" or "accepts": no capital, no full stop.
    fn expected(&self) -> String;

    /// What stands for the value in a help text, such as `SIZE`.
    fn placeholder(&self) -> String;
}
