//! What the serving loop asks of a connection besides its frames.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_sink::Sink;

use crate::{
    Batch, LineError, clock::Nanos, drain::WakeEntry, protocol::Protocol, push::Fact,
    session::StartTls, stats::CloseReason,
};

/// A framed connection: batches of a protocol's frames in and out, and what only the owner of its buffers knows.
///
/// [`FramedTransport`](crate::FramedTransport) is one; an adapter such as
/// [`HeartbeatTransport`](crate::heartbeat::HeartbeatTransport) wraps one and is one again.
///
/// Sealed: its methods are what [`Serve`](crate::serve::Serve) needs today, and may change. A custom
/// protocol is a codec for [`FramedTransport`](crate::FramedTransport).
pub trait Transport:
    Stream<Item = Result<Batch<<Self as Transport>::Protocol>, LineError>>
    + Sink<Batch<<Self as Transport>::Protocol>, Error = LineError>
    + Sealed
{
    /// What is spoken on the connection.
    type Protocol: Protocol;

    /// The next item of the stream, with no look at deadlines: for a caller that
    /// [checks](Self::poll_expired) them when it parks.
    ///
    /// Pending without a waker where [`take_paused`](Self::take_paused) says so.
    #[doc(hidden)]
    fn poll_batch(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Batch<Self::Protocol>, LineError>>>;

    /// Whether [`poll_batch`](Self::poll_batch), which is pending, waits for input and for nothing else:
    /// all replies are written, and it is not [paused](Self::take_paused).
    #[doc(hidden)]
    fn is_quiet(&self) -> bool;

    /// Whether [`poll_batch`](Self::poll_batch) is pending within a line that is not finished, though the
    /// socket may have more of it: other connections should run first. The caller wakes the task. Resets
    /// it.
    #[doc(hidden)]
    fn take_paused(self: Pin<&mut Self>) -> bool;

    /// Bytes of replies that were accepted and are not written.
    #[doc(hidden)]
    fn unsent_bytes(&self) -> usize;

    /// Writes bytes that are not replies, as many as the stream takes, and returns how many; pending if it takes
    /// none. For a caller that has nothing unsent in the sink.
    ///
    /// # Errors
    /// Those of the stream.
    #[doc(hidden)]
    fn poll_push(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, LineError>>;

    /// Says whether the bytes that were pushed last end inside of a message. Until they do not, what the sink is
    /// given waits, and its flush is pending without a waker.
    #[doc(hidden)]
    fn set_inside_push(self: Pin<&mut Self>, inside: bool);

    /// Whether the sink waits for the rest of a message that is pushed.
    #[doc(hidden)]
    fn is_inside_push(&self) -> bool;

    /// Whether the last read filled its block: the peer has more to say, and other connections should
    /// run first. Resets it.
    #[doc(hidden)]
    fn take_full_read(self: Pin<&mut Self>) -> bool;

    /// The next batch of what was read already. Reads nothing.
    #[doc(hidden)]
    fn next_buffered(self: Pin<&mut Self>) -> Option<Result<Batch<Self::Protocol>, LineError>>;

    /// Limits the frames that are not cut yet to `bytes`, within the limit of the codec.
    #[doc(hidden)]
    fn set_frame_max(self: Pin<&mut Self>, bytes: usize);

    /// Puts `rest` in front of what is not cut yet, and has that cut anew: taken as it is if `raw`, else into
    /// frames.
    #[doc(hidden)]
    fn reframe(self: Pin<&mut Self>, rest: &[u8], raw: bool);

    /// Goes on with the TLS handshake that `tls` makes on the byte stream.
    ///
    /// # Errors
    /// When it fails.
    #[doc(hidden)]
    fn poll_start_tls(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        tls: &dyn StartTls,
    ) -> Poll<io::Result<Option<Fact>>>;

    /// Puts blocks back into the pool before the task returns `Pending`; what must be kept moves to
    /// memory of its own size.
    #[doc(hidden)]
    fn park(self: Pin<&mut Self>) -> BufferedBytes;

    /// Drops what is buffered, unfinished lines and unsent replies alike. Only for a connection that ends.
    #[doc(hidden)]
    fn drop_buffers(self: Pin<&mut Self>);

    /// Checks deadlines and registers for the next one, if the connection has any.
    ///
    /// Called before the task parks, with what [`park`](Self::park) returned. May send a line, and then
    /// corrects `buffered`. `wake` wakes the task at the next deadline.
    #[doc(hidden)]
    fn poll_expired(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parked: Parked,
        wake: &mut WakeEntry<'_>,
        buffered: &mut BufferedBytes,
    ) -> Poll<Expired>;

    /// Looks for the end of the peer, behind up to `bytes_max` bytes of input, which stay buffered. Pending
    /// if the peer is there, and the task is woken when it ends or sends more.
    ///
    /// # Errors
    /// Those of the stream, a reset by the peer among them.
    #[doc(hidden)]
    fn poll_peer_end(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<io::Result<PeerEnd>>;

    /// Reads and discards. `Ready(Ok(0))` is the end of input.
    ///
    /// # Errors
    /// Those of the stream.
    #[doc(hidden)]
    fn poll_discard(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<usize>>;
}

/// Keeps [`Transport`] to this crate.
pub trait Sealed {}

/// What a parked connection buffers, and what it wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BufferedBytes {
    /// Bytes of a line that is not finished.
    pub read_bytes: usize,
    /// Bytes of replies that are not written.
    pub write_bytes: usize,
    /// Bytes written since the last park; more than 65,535 are 65,535.
    pub written_bytes: u16,
}

impl BufferedBytes {
    /// What the peer alone can free, by finishing its line or reading its replies. While a batch is in
    /// service nothing is read, so what is behind it is not the peer's to finish.
    pub(crate) fn held_bytes(&self, phase: Phase) -> usize {
        let read_bytes = if phase == Phase::Serving { 0 } else { self.read_bytes };
        read_bytes.saturating_add(self.write_bytes)
    }
}

/// How a connection parks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parked {
    /// When the task parked: monotonic time.
    pub now: Nanos,
    /// What it waits for.
    pub phase: Phase,
    /// The task, and so the waker, is that of the last park: what was registered then still is.
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
    /// The close to be sent and received.
    Closing,
}

/// What is known of the end of a peer that is not just silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerEnd {
    /// The peer sends no more. It may still read.
    HalfClosed,
    /// The peer sent more than may be read ahead, and may have ended behind that. The task is not woken
    /// then.
    Hidden,
}

/// A deadline that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Expired {
    /// No line for too long.
    #[error("the peer sent no line in time")]
    Idle,
    /// A line was begun and not finished.
    #[error("the peer did not finish its line in time")]
    Line,
    /// The peer took too little of its replies.
    #[error("the peer did not read its replies in time")]
    Write,
    /// A ping was not answered.
    #[error("the peer did not answer a ping in time")]
    Heartbeat,
}

impl From<Expired> for CloseReason {
    fn from(expired: Expired) -> Self {
        match expired {
            Expired::Idle => Self::IdleTimeout,
            Expired::Line => Self::ReadTimeout,
            Expired::Write => Self::WriteTimeout,
            Expired::Heartbeat => Self::HeartbeatTimeout,
        }
    }
}
