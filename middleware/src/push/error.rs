//! Why something is not pushed.

use crate::reply::ReplyError;

/// Why a message was not taken. No connection gets it then: a message is taken whole, or not at all.
///
/// Converts into a [`ReplyError`], so that a handler passes it on with `?`: `ERR busy`, `ERR gone`,
/// `ERR message too long`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// So much waits for the connection, or for the connections of its shard, that no more is taken: try again
    /// later, or use [`Conn::send`](super::Conn::send), which waits.
    #[error("so much waits already that no more is taken")]
    Full,
    /// The connection has ended, or has nothing more to say.
    #[error("the connection has ended")]
    Closed,
    /// The message is longer than what may wait for one connection, `push.connection_bytes`.
    #[error(
        "the message of {bytes} bytes is longer than the {limit_bytes} that may wait for a connection"
    )]
    TooLong {
        /// Bytes of the message.
        bytes: usize,
        /// The limit.
        limit_bytes: usize,
    },
}

impl From<PushError> for ReplyError {
    fn from(error: PushError) -> Self {
        Self::new(match error {
            PushError::Full => "busy",
            PushError::Closed => "gone",
            PushError::TooLong { .. } => "message too long",
        })
    }
}
