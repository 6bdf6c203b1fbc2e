//! Conversations: one value for each connection, called with one frame after another.
//!
//! A [`Session`] is the connection's own state. The loop calls it with `&mut self`, so it needs no lock and no
//! reference count, and a call that answers at once costs no allocation. What takes time is answered
//! [later](Deferred); what is long is answered [in parts](ReplyStream).

mod beside_frames;
mod body;
mod cx;
mod deferred;
mod detach;
mod frame_max;
mod frames;
mod overlap;
mod overlapping;
mod reply_stream;
mod responder;
mod running;
mod secure;
mod stack;
mod waiting;

use std::{fmt, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

pub use self::{
    body::Body,
    cx::Cx,
    deferred::Deferred,
    detach::{Detach, Detached, Draining},
    overlap::Overlap,
    reply_stream::ReplyStream,
    responder::{Refused, SessionResponder},
    secure::{Secure, StartTls, Upgrade},
    stack::SessionStack,
};
pub(crate) use self::{
    detach::{Bridge, DetachedFuture},
    stack::LimitedWait,
};
pub use crate::push::{Conn, ConnId};
use crate::{
    BatchCodec, Echo, FramedTransport,
    drain::Watch,
    protocol::Protocol,
    reply::Replies,
    serve::{Connection, Serve},
    stats::CloseReason,
};

/// One connection's side of a conversation. Made for each connection, never shared, never locked.
///
/// *Does*: answers frames in their order, speaks first, keeps a timer, says last words at a drain, and learns
/// of the end exactly once. *Does not*: wait; what has to be waited for is a [`Deferred`]. *Costs*: an
/// allocation a connection, of the session and some 100 bytes.
///
/// The frames of one read are answered together, with one write, until their replies are as long as a block or
/// as [`output_bytes_max`](crate::serve::Serve::output_bytes_max); the rest follows when the peer has taken
/// them. So a peer makes the server hold no more than that and one reply, however many frames it sends. A
/// panic ends this connection, as [`CloseReason::ServicePanic`].
///
/// ```
/// use towline_middleware::{
///     protocol::Lf,
///     reply::Close,
///     session::{Action, ActionOf, Cx, FrameOf, Session},
/// };
///
/// /// Adds numbers, one a line.
/// struct Sum(i64);
///
/// impl Session for Sum {
///     type Protocol = Lf;
///
///     fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         cx.reply("numbers, please")
///     }
///
///     fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         match std::str::from_utf8(frame).ok().and_then(|line| line.parse::<i64>().ok()) {
///             Some(number) => {
///                 self.0 = self.0.wrapping_add(number);
///                 cx.reply(self.0)
///             }
///             None => cx.reply(Close("that is no number")),
///         }
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    note = "implement `Session` for it; a `Router` goes into `Builder::router(router, |conn| state)`"
)]
pub trait Session: Sized + Send + 'static {
    /// How its frames are cut, and how replies are said.
    type Protocol: Replies;

    /// How many deferred replies wait at once, and in which order they are written. Asked when one begins to
    /// wait while none does. Default: [`Overlap::OFF`].
    fn overlap(&self) -> Overlap {
        Overlap::OFF
    }

    /// The connection is open. A protocol whose server speaks first does so here.
    fn on_open(&mut self, cx: &mut Cx<'_, Self::Protocol>) -> ActionOf<Self> {
        let _ = cx;
        Action::Continue
    }

    /// A frame came.
    fn on_frame(
        &mut self,
        frame: FrameOf<'_, Self>,
        cx: &mut Cx<'_, Self::Protocol>,
    ) -> ActionOf<Self>;

    /// A piece of the [`Body`] that [`Action::Body`] asked for, up to a read's worth; `last` with the last one, which
    /// may be empty. A reply to a piece is written before the next one comes.
    fn on_body(
        &mut self,
        piece: &[u8],
        last: bool,
        cx: &mut Cx<'_, Self::Protocol>,
    ) -> ActionOf<Self> {
        let _ = (piece, last, cx);
        Action::Continue
    }

    /// The time that [`Cx::set_timer`] set has passed. While a reply is waited for it is called after it; while
    /// several are ([`overlap`](Self::overlap)), it is called in the place of the next frame.
    fn on_timer(&mut self, cx: &mut Cx<'_, Self::Protocol>) -> ActionOf<Self> {
        let _ = cx;
        Action::Continue
    }

    /// The server drains, and every frame that was read is answered. Last words may be said; the connection
    /// closes behind them, whatever is returned.
    fn on_drain(&mut self, cx: &mut Cx<'_, Self::Protocol>) -> ActionOf<Self> {
        let _ = cx;
        Action::Close
    }

    /// The connection has ended, or has nothing more to say and waits for the peer's close. Called exactly
    /// once for each session, after a panic in one of its methods, too.
    ///
    /// A panic in here is caught: everything else is done by then.
    fn on_close(self, reason: CloseReason) {
        let _ = reason;
    }
}

/// A connection of [`serve_session`].
pub type SessionConnection<Io, S> = Connection<
    FramedTransport<Io, BatchCodec<<S as Session>::Protocol>>,
    SessionResponder<S>,
    <S as Session>::Protocol,
>;

/// Serves one connection with a session over any byte stream until it ends, and returns why it did.
///
/// Without metrics, deadlines and limits, as [`serve_connection`](crate::serve_connection) does for services.
/// A future that is dropped before it is polled has a session all the same, which learns of its end.
///
/// ```
/// use towline_middleware::{
///     BatchCodec, BoxError,
///     drain::Watch,
///     protocol::Lf,
///     session::{ActionOf, Cx, FrameOf, Session, serve_session},
/// };
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// struct Count(u32);
///
/// impl Session for Count {
///     type Protocol = Lf;
///
///     fn on_frame(&mut self, _: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
///         self.0 += 1;
///         cx.reply(self.0)
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let (mut client, server) = tokio::io::duplex(64);
/// client.write_all(b"a\nb\n").await?;
/// client.shutdown().await?;
/// serve_session(server, BatchCodec::new(1024), Count(0), Watch::never()).await?;
/// let mut said = String::new();
/// client.read_to_string(&mut said).await?;
/// assert_eq!(said, "1\n2\n");
/// # Ok(()) }
/// ```
///
/// # Errors
/// That of a [`ReplyStream`], if it ended the connection.
pub fn serve_session<Io, S>(
    io: Io,
    codec: BatchCodec<S::Protocol>,
    session: S,
    drain: Watch,
) -> SessionConnection<Io, S>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
    S: Session,
{
    let responder = SessionResponder::new(session, Conn::new(None), SessionStack::unlimited());
    let serve = Serve::unboxed(Echo).drain(drain).half_close_of::<S::Protocol>();
    let mut serve = serve.one(responder);
    serve.call(FramedTransport::new(io, codec))
}

/// What is made for each connection: a [`Session`], or a `Result` of one with [`Refused`]. It cannot be implemented
/// otherwise.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a session",
    note = "return a type that implements `Session`, or `Result<_, Refused>` of one"
)]
pub trait IntoSession {
    /// The session.
    type Session: Session;

    /// The session, or why the connection gets none.
    #[doc(hidden)]
    fn into_session(self) -> Result<Self::Session, Refused>;
}

impl<S: Session> IntoSession for S {
    type Session = S;

    fn into_session(self) -> Result<S, Refused> {
        Ok(self)
    }
}

impl<S: Session> IntoSession for Result<S, Refused> {
    type Session = S;

    fn into_session(self) -> Self {
        self
    }
}

/// A frame of the session `S`.
pub type FrameOf<'a, S> = <<S as Session>::Protocol as Protocol>::Frame<'a>;

/// What a method of the session `S` returns.
pub type ActionOf<S> = Action<<S as Session>::Protocol, S>;

/// What comes next on a connection.
#[must_use = "the connection does what it says"]
#[non_exhaustive]
pub enum Action<P: Replies, S> {
    /// The next frame.
    Continue,
    /// The end, behind what was said. What was read behind this frame is not served.
    Close,
    /// A reply that comes when a future is done. Frames behind this one wait for it, unless replies
    /// [overlap](Session::overlap).
    Deferred(Deferred<P, S>),
    /// A reply in parts. Frames behind this one wait for it.
    ReplyStream(ReplyStream),
    /// Bytes that are no frames, behind this one. Replies that [overlap](Session::overlap) are written before.
    Body(Body),
    /// The connection is served as a byte stream from here on, behind what was said.
    Detach(Detach),
    /// The connection goes over to TLS, behind what was said. Made by [`Cx::secure`].
    Secure(Secure<P, S>),
}

impl<P: Replies, S> fmt::Debug for Action<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Continue => "Continue",
            Self::Close => "Close",
            Self::Deferred(_) => "Deferred",
            Self::ReplyStream(_) => "ReplyStream",
            Self::Body(_) => "Body",
            Self::Detach(_) => "Detach",
            Self::Secure(_) => "Secure",
        })
    }
}

/// What a session asked of its timer.
#[derive(Debug, Clone, Copy)]
enum TimerChange {
    Set(Duration),
    Clear,
}
