//! What a handler may return.

use super::{Message, Out, Replies, ReplyError};
use crate::session::Action;

/// What a handler may return: a [`Message`], or what says more: [`Result`], [`Close`],
/// [`Deferred`](crate::session::Deferred), [`ReplyStream`](crate::session::ReplyStream), [`Action`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a reply of a handler of `{S}`",
    note = "a reply is a `Message` (text, bytes, integers, `Option`, arrays, `Vec`, `Value`, `Raw`, `()`), `Result<_, ReplyError>`, `Close(_)`, `Deferred`, `ReplyStream` or `Action`"
)]
pub trait IntoReply<P: Replies, S> {
    /// Writes it, and says what comes next.
    fn into_reply(self, out: &mut Out<'_, P>) -> Action<P, S>;
}

impl<P: Replies, S, T: Message> IntoReply<P, S> for T {
    fn into_reply(self, out: &mut Out<'_, P>) -> Action<P, S> {
        self.write_to(out);
        Action::Continue
    }
}

impl<P: Replies, S> IntoReply<P, S> for Action<P, S> {
    fn into_reply(self, _: &mut Out<'_, P>) -> Self {
        self
    }
}

impl<P: Replies, S> IntoReply<P, S> for ReplyError {
    fn into_reply(self, out: &mut Out<'_, P>) -> Action<P, S> {
        P::error(&self, out.bytes());
        if self.is_fatal() { Action::Close } else { Action::Continue }
    }
}

impl<P: Replies, S, T: IntoReply<P, S>, E: Into<ReplyError>> IntoReply<P, S> for Result<T, E> {
    fn into_reply(self, out: &mut Out<'_, P>) -> Action<P, S> {
        match self {
            Ok(reply) => reply.into_reply(out),
            Err(error) => error.into().into_reply(out),
        }
    }
}

/// A last reply: the connection ends behind it, and frames behind the one it answers are not served.
#[derive(Debug, Clone, Copy)]
pub struct Close<T>(pub T);

impl<P: Replies, S, T: Message> IntoReply<P, S> for Close<T> {
    fn into_reply(self, out: &mut Out<'_, P>) -> Action<P, S> {
        self.0.write_to(out);
        Action::Close
    }
}
