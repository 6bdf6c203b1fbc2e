//! Why a router is refused at start.

use super::verbs::{VERB_BYTES_MAX, VERBS_MAX};

/// Why commands make no table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouterError {
    /// A verb is empty, longer than 64 bytes, or not of printable ASCII without spaces.
    #[error(
        "command {0:?}: expected 1 to {VERB_BYTES_MAX} printable ASCII characters without spaces"
    )]
    Invalid(&'static str),
    /// A verb is named twice; without [`exact_case`](super::Router::exact_case) `get` and `GET` are the same.
    #[error("command {0:?} is named twice")]
    Twice(&'static str),
    /// There are more than 128 commands.
    #[error("{0} commands: expected at most {VERBS_MAX}")]
    TooMany(usize),
    /// [`within`](super::Router::within) or [`timed`](super::Router::timed) comes before the first command.
    #[error("`{0}` has no command in front of it")]
    NothingBefore(&'static str),
}
