use crate::reply::ReplyError;

/// What the server says by itself, in the words of a [`Protocol`](super::Protocol).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// Asks a silent peer for a sign of life.
    Ping,
    /// A frame is too long. The connection ends.
    TooLong {
        /// The limit, as the protocol counts it.
        limit_bytes: usize,
    },
    /// What was read is no frame, with the reason. The connection ends.
    Malformed(&'a str),
    /// The service did not answer a frame in time.
    Timeout,
    /// A frame is not served because the server is overloaded.
    Overloaded,
    /// A frame is not served, for the reason in the error: a [`RateLayer`](crate::rate::RateLayer) sends it for each
    /// frame above the rate. It stands for the reply to the frame, so a protocol that has replies must write it.
    ReplyError(&'a ReplyError),
    /// The connection is rejected: there are as many as are allowed.
    TooManyConnections,
    /// The connection is rejected: there are as many from its address as are allowed.
    TooManyFromAddress,
    /// The connection is rejected by the program, with its reason.
    Refused(&'a str),
    /// The peer reads too little of what it is sent. The connection ends.
    TooSlow,
    /// The server drains. The connection ends.
    Draining,
}
