//! Replies in parts.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;

use super::Action;
use crate::{
    BoxError,
    reply::{IntoReply, Out, Replies},
    response::{BoxErrors, ReplyParts},
    stats::PendingCommand,
};

/// A reply in parts, which are written as they are.
///
/// A part is asked for when the output has room for it, so the server holds no more than
/// [`output_bytes_max`](crate::serve::Serve::output_bytes_max) and one part, however long the reply is. While
/// the stream waits, the connection watches for the peer's end. An error of the stream ends the connection
/// behind the parts before it.
///
/// ```
/// use futures_util::stream;
/// use towline_middleware::{reply::Args, session::ReplyStream};
///
/// fn count(_: &mut (), _: Args<'_>) -> ReplyStream {
///     let numbers = (1..=1_000_000).map(|n| Ok::<_, std::io::Error>(format!("{n}\n").into()));
///     ReplyStream::new(stream::iter(numbers))
/// }
/// ```
#[must_use = "a stream says nothing unless it is returned"]
pub struct ReplyStream(pub(super) Box<ReplyParts>);

impl ReplyStream {
    /// Replies with the items of `parts`.
    pub fn new<E>(parts: impl Stream<Item = Result<Bytes, E>> + Send + 'static) -> Self
    where
        E: Into<BoxError>,
    {
        Self(Box::new(Box::pin(BoxErrors::new(parts))))
    }

    /// Records how long `command` took when the last part was taken, if it is timed.
    pub(super) fn of_command(self, command: PendingCommand) -> Self {
        match command.begun {
            None => self,
            Some(_) => {
                let timed = Timed { parts: *self.0, command: Some(command) };
                Self(Box::new(Box::pin(timed)))
            }
        }
    }
}

/// The parts of a reply to a timed command.
struct Timed {
    parts: ReplyParts,
    command: Option<PendingCommand>,
}

impl Stream for Timed {
    type Item = Result<Bytes, BoxError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let part = self.parts.as_mut().poll_next(cx);
        if let Poll::Ready(None) = part
            && let Some(command) = self.command.take()
        {
            command.record();
        }
        part
    }
}

impl fmt::Debug for ReplyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyStream").finish_non_exhaustive()
    }
}

impl<P: Replies, S> IntoReply<P, S> for ReplyStream {
    fn into_reply(self, _: &mut Out<'_, P>) -> Action<P, S> {
        Action::ReplyStream(self)
    }
}
