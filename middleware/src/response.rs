//! What a service gives back for a batch.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use pin_project_lite::pin_project;

use self::sealed::Then;
use crate::{
    Batch, BoxError,
    protocol::{Lf, Protocol},
    rest::BoxRest,
    stats::CloseReason,
};

/// The replies to a batch, and what comes after them.
///
/// A service whose response is a [`Batch`] answers each batch with bytes and goes on. A `Response` can also
/// say that there is no reply, that the connection ends behind the reply, or that the reply goes on in parts.
/// A batch converts into one that says no more than the batch. *Costs*: eight bytes beside the batch, and an
/// allocation if anything comes after it.
///
/// ```
/// use towline_middleware::{Lines, Response, serve_connection, drain::Watch, LinesBatchCodec, BoxError};
/// use towline_middleware::stats::CloseReason;
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let service = tower::service_fn(|lines: Lines| async move {
///     let reply = Lines::from_iter(["BYE"]);
///     let response = if lines.iter().any(|line| line == b"QUIT") {
///         Response::from(reply).close()
///     } else {
///         Response::from(lines)
///     };
///     Ok::<_, BoxError>(response)
/// });
/// let (mut client, server) = tokio::io::duplex(64);
/// client.write_all(b"QUIT\nnot served\n").await?;
/// client.shutdown().await?;
/// let ended = serve_connection(server, LinesBatchCodec::new(1024), service, Watch::never()).await?;
/// assert_eq!(ended, CloseReason::ServiceClose);
/// let mut said = String::new();
/// client.read_to_string(&mut said).await?;
/// assert_eq!(said, "BYE\n");
/// # Ok(()) }
/// ```
#[must_use]
pub struct Response<P: Protocol = Lf> {
    replies: Batch<P>,
    after: Option<Box<Then>>,
}

/// The parts of a reply, or the error that ends the connection behind those before it.
pub(crate) type ReplyParts = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send>>;

impl<P: Protocol> Response<P> {
    /// No reply at all: the next batch follows.
    pub fn none() -> Self {
        Batch::default().into()
    }

    /// The replies, without the parts that may follow them.
    pub fn as_bytes(&self) -> &[u8] {
        self.replies.as_bytes()
    }

    /// Ends the connection when the replies are written, as [`CloseReason::ServiceClose`]. What the peer sent
    /// behind this batch is not served. Replaces [`parts`](Self::parts).
    pub fn close(self) -> Self {
        self.then(Then::Close(CloseReason::ServiceClose))
    }

    /// Goes on with the items of `parts`, which are written as they are; the next batch is served behind the
    /// last one. Replaces [`close`](Self::close).
    ///
    /// An item is asked for when the output has room for it, so a peer makes the server hold no more than
    /// [`output_bytes_max`](crate::serve::Serve::output_bytes_max) and one item, however long the reply is.
    /// While the stream waits, the connection watches for the peer's end, as it does for a call. Request
    /// timeouts do not hold for it: the write deadline does.
    ///
    /// # Errors
    /// An error in the stream ends the connection behind the items before it, as that of a service.
    ///
    /// ```
    /// use futures_util::stream;
    /// use towline_middleware::{Lines, Response};
    /// let numbers = (1..=3).map(|n| Ok::<_, std::io::Error>(format!("{n}\n").into()));
    /// let response: Response = Response::none().parts(stream::iter(numbers));
    /// ```
    pub fn parts<E>(self, parts: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: Into<BoxError>,
    {
        self.then(Then::Parts(Box::pin(BoxErrors::new(parts))))
    }

    /// Goes on with the parts of `rest`.
    pub(crate) fn rest(self, rest: BoxRest) -> Self {
        self.then(Then::Rest(rest))
    }

    /// The whole reply, with all its parts, in memory: for tests of a service that answers in parts.
    ///
    /// # Errors
    /// The error that ends the parts.
    ///
    /// ```
    /// # use futures_util::stream;
    /// # use towline_middleware::{BoxError, Response};
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
    /// let numbers = (1..=3).map(|n| Ok::<_, BoxError>(format!("{n}\n").into()));
    /// let response: Response = Response::none().parts(stream::iter(numbers));
    /// assert_eq!(response.into_batch().await?.as_bytes(), b"1\n2\n3\n");
    /// # Ok(()) }
    /// ```
    pub async fn into_batch(self) -> Result<Batch<P>, BoxError> {
        let count = self.replies.count() as u32;
        match self.after.map(|after| *after) {
            None
            | Some(
                Then::Next
                | Then::Call
                | Then::Close(_)
                | Then::Reframe { .. }
                | Then::Detach { .. }
                | Then::Secure { .. },
            ) => Ok(self.replies),
            Some(Then::Parts(mut parts)) => {
                let mut bytes = BytesMut::from(self.replies.as_bytes());
                while let Some(part) = poll_fn(|cx| parts.as_mut().poll_next(cx)).await {
                    bytes.extend_from_slice(&part?);
                }
                Ok(Batch::counted(bytes, count.max(1)))
            }
            Some(Then::Rest(mut rest)) => {
                let mut bytes = BytesMut::from(self.replies.as_bytes());
                let count = count + rest.frames();
                while let Some(part) = poll_fn(|cx| rest.as_mut().poll_part(cx)).await {
                    bytes.extend_from_slice(&part?.bytes);
                }
                Ok(Batch::counted(bytes, count))
            }
        }
    }

    fn then(self, then: Then) -> Self {
        Self { after: Some(Box::new(then)), ..self }
    }

    /// The replies of a service, and what comes after them.
    pub(crate) fn of(replies: Batch<P>, then: Then) -> Self {
        let after = match then {
            Then::Next => None,
            then => Some(Box::new(then)),
        };
        Self { replies, after }
    }
}

/// The error by which a stream of parts closes the connection without a failure, as a service that closes does.
#[derive(Debug, thiserror::Error)]
#[error("the service closes the connection")]
pub(crate) struct Closes;

impl<P: Protocol> From<Batch<P>> for Response<P> {
    fn from(replies: Batch<P>) -> Self {
        Self { replies, after: None }
    }
}

impl<P: Protocol> fmt::Debug for Response<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("replies", &self.replies)
            .field("after", &self.after)
            .finish()
    }
}

pin_project! {
    /// A stream whose errors are boxed.
    pub(crate) struct BoxErrors<S> {
        #[pin]
        parts: S,
    }
}

impl<S> BoxErrors<S> {
    pub(crate) const fn new(parts: S) -> Self {
        Self { parts }
    }
}

impl<S, E> Stream for BoxErrors<S>
where
    S: Stream<Item = Result<Bytes, E>>,
    E: Into<BoxError>,
{
    type Item = Result<Bytes, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.project().parts.poll_next(cx).map_err(Into::into)
    }
}

/// The response of a service of batches: a [`Batch`] of replies, or a [`Response`] that can say more.
///
/// Sealed: these two are all there are.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a response to a batch",
    note = "a service of batches responds with a `Batch`, such as `Lines`, or with a `Response`"
)]
pub trait IntoResponse: From<Batch<Self::Protocol>> + Send + 'static + sealed::Sealed {
    /// The protocol of the batch.
    type Protocol: Protocol;

    /// Whether it is never more than replies. Everything else is compiled away then.
    #[doc(hidden)]
    const PLAIN: bool;

    /// Frames of the batch that the replies do not answer: parts that follow do.
    #[doc(hidden)]
    fn unanswered(&self) -> u32 {
        0
    }

    /// The replies, and what comes after them.
    #[doc(hidden)]
    fn into_parts(self) -> (Batch<Self::Protocol>, Then);
}

impl<P: Protocol> IntoResponse for Batch<P> {
    type Protocol = P;
    const PLAIN: bool = true;

    #[inline]
    fn into_parts(self) -> (Self, Then) {
        (self, Then::Next)
    }
}

impl<P: Protocol> IntoResponse for Response<P> {
    type Protocol = P;
    const PLAIN: bool = false;

    fn unanswered(&self) -> u32 {
        match self.after.as_deref() {
            Some(Then::Rest(rest)) => rest.frames(),
            _ => 0,
        }
    }

    fn into_parts(self) -> (Batch<P>, Then) {
        let then = self.after.map_or(Then::Next, |then| *then);
        (self.replies, then)
    }
}

/// What a session gives for a batch, or a part of it.
#[derive(Debug)]
pub struct SessionReply<P: Protocol> {
    replies: Batch<P>,
    then: Then,
}

impl<P: Protocol> SessionReply<P> {
    pub(crate) const fn new(replies: Batch<P>, then: Then) -> Self {
        Self { replies, then }
    }
}

impl<P: Protocol> From<Batch<P>> for SessionReply<P> {
    fn from(replies: Batch<P>) -> Self {
        Self::new(replies, Then::Next)
    }
}

impl<P: Protocol> IntoResponse for SessionReply<P> {
    type Protocol = P;
    const PLAIN: bool = false;

    #[inline]
    fn into_parts(self) -> (Batch<P>, Then) {
        (self.replies, self.then)
    }
}

pub(crate) mod sealed {
    use std::fmt;

    use super::{Batch, BoxRest, Bytes, CloseReason, Protocol, ReplyParts, Response, SessionReply};
    use std::sync::Arc;

    use crate::session::{Detach, StartTls};

    /// What comes after the replies.
    pub enum Then {
        /// The next batch.
        Next,
        /// The end of the connection.
        Close(CloseReason),
        /// More of the reply, by the call that gave this part.
        Call,
        /// More of the reply, from a stream.
        Parts(ReplyParts),
        /// More of the reply, made as the loop asks for it.
        Rest(BoxRest),
        /// What was read behind the reply is cut anew: as a body if `raw`, else into frames.
        Reframe { rest: Bytes, raw: bool },
        /// The connection is a byte stream from here on; `rest` was read behind the reply.
        Detach { rest: Bytes, detach: Detach },
        /// The connection goes over to TLS; refused if something was read behind the reply already.
        Secure { tls: Arc<dyn StartTls>, sent_ahead: bool },
    }

    impl fmt::Debug for Then {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match self {
                Self::Next => f.write_str("Next"),
                Self::Close(reason) => f.debug_tuple("Close").field(reason).finish(),
                Self::Call => f.write_str("Call"),
                Self::Parts(_) => f.write_str("Parts"),
                Self::Rest(_) => f.write_str("Rest"),
                Self::Reframe { raw, .. } => f.debug_struct("Reframe").field("raw", raw).finish(),
                Self::Detach { .. } => f.write_str("Detach"),
                Self::Secure { .. } => f.write_str("Secure"),
            }
        }
    }

    /// Keeps [`IntoResponse`](super::IntoResponse) to this crate.
    pub trait Sealed {}

    impl<P: Protocol> Sealed for Batch<P> {}
    impl<P: Protocol> Sealed for Response<P> {}
    impl<P: Protocol> Sealed for SessionReply<P> {}
}
