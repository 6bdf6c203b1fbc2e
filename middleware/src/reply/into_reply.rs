//! What a handler may return.

use super::{Message, Out, Replies, ReplyError};
use crate::session::Action;

/// What a handler may return: a [`Message`], or what says more: [`Result`], [`Close`],
/// [`Deferred`](crate::session::Deferred), [`ReplyStream`](crate::session::ReplyStream), [`Action`].
///
/// `S` is the state of the session. Implement [`Message`] for data of your own, which is one implementation for
/// all protocols; implement this for a reply that does more, or is of one protocol only.
///
/// ```
/// use towline_middleware::{
///     protocol::Lf,
///     reply::{IntoReply, Out},
///     session::Action,
/// };
///
/// /// The score of a game that ends at ten.
/// struct Score(u32);
///
/// impl<S> IntoReply<Lf, S> for Score {
///     fn into_reply(self, out: &mut Out<'_, Lf>) -> Action<Lf, S> {
///         out.write(self.0);
///         if self.0 < 10 { Action::Continue } else { Action::Close }
///     }
/// }
/// ```
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
        out.error(&self);
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
///
/// `Close(())` ends it without a word.
///
/// ```
/// use towline_middleware::reply::{Args, Close, ReplyError};
///
/// fn quit(_: &mut (), args: Args<'_>) -> Result<Close<&'static str>, ReplyError> {
///     args.parse::<()>()?;
///     Ok(Close("BYE"))
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Close<T>(pub T);

impl<P: Replies, S, T: Message> IntoReply<P, S> for Close<T> {
    fn into_reply(self, out: &mut Out<'_, P>) -> Action<P, S> {
        self.0.write_to(out);
        Action::Close
    }
}
