//! The errors of limits. They answer what exceeded the limit, where other errors end the connection.

use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};

use crate::{
    BoxError,
    protocol::Notice,
    stats::{CommandResult, LineResult},
};

/// A limit that frames exceeded.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Exceeded {
    Timeout,
    Concurrency,
}

impl Exceeded {
    /// The limit that `error` is of: Tower's [`Elapsed`] and [`Overloaded`]. `None` for another error.
    #[cold]
    pub(crate) fn of(error: &BoxError) -> Option<Self> {
        if error.is::<Elapsed>() {
            Some(Self::Timeout)
        } else if error.is::<Overloaded>() {
            Some(Self::Concurrency)
        } else {
            None
        }
    }

    /// The reply to each of these frames.
    pub(crate) const fn notice(self) -> Notice<'static> {
        match self {
            Self::Timeout => Notice::Timeout,
            Self::Concurrency => Notice::Overloaded,
        }
    }

    /// The result that these frames are counted with.
    pub(crate) const fn result(self) -> LineResult {
        match self {
            Self::Timeout => LineResult::Timeout,
            Self::Concurrency => LineResult::Shed,
        }
    }

    /// The result that a command is counted with.
    pub(crate) const fn command_result(self) -> CommandResult {
        match self {
            Self::Timeout => CommandResult::Timeout,
            Self::Concurrency => CommandResult::Shed,
        }
    }
}
