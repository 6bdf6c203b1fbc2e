//! Grammars of values: one for each kind of value.
//!
//! A grammar parses text into the setting's own type, prints it so that parsing gives the same again,
//! and says in words what it expects. Bounds are checked here, so a parsed value is valid.

mod address;
mod list;
mod listen;
mod networks;
mod number;
mod word;

use address::EXAMPLES;
pub(crate) use address::{Address, Path, SocketPath};
pub(crate) use list::{Names, Paths};
pub(crate) use listen::Listeners;
pub(crate) use networks::Networks;
pub(crate) use number::{Count, Size, Time};
pub(crate) use word::{FlushPolicies, Or, ProcessCount, ReceiveBuffers, Words};

use crate::{error::ValueError, value::Value};

/// A textual form of `T`.
pub(crate) trait Grammar<T>: Sync {
    /// Parses `text`.
    fn parse(&self, text: &str) -> Result<T, ValueError>;

    /// Prints `value`. `parse` reads it back.
    fn print(&self, value: &T) -> Value;

    /// What `parse` accepts, to follow "expected" or "accepts": no capital, no full stop.
    fn expected(&self) -> String;

    /// Placeholder of the value in a help text, such as `SIZE`.
    fn placeholder(&self) -> String;
}
