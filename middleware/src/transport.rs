//! What the serving loop asks of a connection besides its lines.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    LineError, Lines,
    stats::{CloseReason, Nanos},
};

/// A framed connection: batches of lines in and out, and a few questions that only whoever owns
/// the buffers can answer.
///
/// [`FramedTransport`](crate::FramedTransport) is one; an adapter such as
/// [`HeartbeatTransport`](crate::heartbeat::HeartbeatTransport) wraps one and is one again.
pub trait Transport:
    Stream<Item = Result<Lines, LineError>> + Sink<Lines, Error = LineError>
{
    /// Bytes of replies taken and not yet written.
    fn unsent_bytes(&self) -> usize;

    /// Whether the last read filled its block, so that the peer certainly has more to say and the
    /// connection should let others run first. Asking resets it.
    fn take_full_read(self: Pin<&mut Self>) -> bool;

    /// The next lines of what was read already, without reading more.
    fn next_buffered(self: Pin<&mut Self>) -> Option<Result<Lines, LineError>>;

    /// The task is about to return `Pending`: lent blocks go back, what must be kept moves to
    /// memory of its own size.
    fn park(self: Pin<&mut Self>) -> BufferedBytes;

    /// Looks at deadlines and registers for the next one, if the connection has any.
    ///
    /// Called on the way to park, with what [`park`](Self::park) said; it may send a line by itself
    /// and then corrects `buffered`.
    fn poll_expired(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parked: Parked,
        buffered: &mut BufferedBytes,
    ) -> Poll<Expired>;

    /// Reads and forgets. `Ready(Ok(0))` is the end of input.
    ///
    /// # Errors
    /// Those of the stream.
    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
}

/// What a parked connection holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BufferedBytes {
    /// Bytes of a line that isn't finished.
    pub read_bytes: usize,
    /// Bytes of replies that aren't written.
    pub write_bytes: usize,
    /// Bytes written since it parked last; more than 65,535 are 65,535.
    pub written_bytes: u16,
}

/// How a connection parks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// When.
    pub now: Nanos,
    /// For what.
    pub phase: Phase,
    /// By the same task, and so with the same waker, as the last time: what was registered then
    /// still is.
    pub same_task: bool,
}

/// What a parked connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The peer's next line, whether or not all replies are written.
    Reading,
    /// The service.
    Serving,
    /// The socket to take more replies; nothing is read meanwhile.
    Blocked,
    /// The goodbye to be sent and received.
    Closing,
}

/// A deadline that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expired {
    /// No line for too long.
    Idle,
    /// A line begun was not finished.
    Line,
    /// Unsent replies made too little progress.
    Write,
    /// A ping was not answered.
    Heartbeat,
}

impl Expired {
    /// What is written in the books.
    pub const fn reason(self) -> CloseReason {
        match self {
            Self::Idle => CloseReason::IdleTimeout,
            Self::Line => CloseReason::ReadTimeout,
            Self::Write => CloseReason::WriteTimeout,
            Self::Heartbeat => CloseReason::HeartbeatTimeout,
        }
    }
}
