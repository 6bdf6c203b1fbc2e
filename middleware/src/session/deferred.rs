//! Replies that are waited for.

use std::{fmt, future::Future, pin::Pin, time::Duration};

use super::{Action, Cx};
use crate::reply::{IntoReply, Out, Replies};

/// What a future gives back to its session.
pub(super) type Back<P, S> = Box<dyn FnOnce(&mut S, &mut Cx<'_, P>) -> Action<P, S> + Send>;

/// The future of a [`Deferred`].
pub(super) type BackFuture<P, S> = Pin<Box<dyn Future<Output = Back<P, S>> + Send>>;

/// A reply that comes when a future is done.
///
/// *Does*: holds the frames behind it back, so that replies keep their order; writes earlier replies meanwhile;
/// is answered with the protocol's word for a timeout, and the conversation goes on, if it waits longer than
/// `timeouts.request` or [`within`](Self::within); waits for a permit of `limits.concurrency` if it is not
/// done at once. Dropped when the peer is gone. *Costs*: two allocations.
///
/// ```
/// use towline_middleware::{protocol::Lf, session::Deferred};
///
/// struct Counter(u32);
///
/// async fn look_up(key: String) -> u32 {
///     key.len() as u32
/// }
///
/// // The reply is what the future returns.
/// let simple = Deferred::<Lf, Counter>::new(async { look_up("key".into()).await });
/// // The value comes back to the session first.
/// let counted = Deferred::<Lf, _>::then(look_up("key".into()), |counter: &mut Counter, found, cx| {
///     counter.0 += found;
///     cx.reply(counter.0)
/// });
/// ```
#[must_use = "a deferred reply does nothing unless it is returned"]
pub struct Deferred<P: Replies, S> {
    future: BackFuture<P, S>,
    within: Option<Duration>,
}

impl<P: Replies, S: 'static> Deferred<P, S> {
    /// Replies with what `future` returns.
    pub fn new<T>(future: impl Future<Output = T> + Send + 'static) -> Self
    where
        T: IntoReply<P, S> + Send + 'static,
    {
        Self::then(future, |_, reply, cx| cx.reply(reply))
    }

    /// Gives what `future` returns to `back`, with the session, which then replies.
    pub fn then<T: Send + 'static>(
        future: impl Future<Output = T> + Send + 'static,
        back: impl FnOnce(&mut S, T, &mut Cx<'_, P>) -> Action<P, S> + Send + 'static,
    ) -> Self {
        let future = Box::pin(async move {
            let value = future.await;
            Box::new(move |session: &mut S, cx: &mut Cx<'_, P>| back(session, value, cx))
                as Back<P, S>
        });
        Self { future, within: None }
    }
}

impl<P: Replies, S> Deferred<P, S> {
    /// Waits no longer than this. Default: `timeouts.request`.
    pub fn within(self, timeout: Duration) -> Self {
        Self { within: Some(timeout), ..self }
    }

    /// Waits no longer than `timeout`, unless it has a timeout of its own.
    pub(crate) fn or_within(self, timeout: Option<Duration>) -> Self {
        Self { within: self.within.or(timeout), ..self }
    }

    pub(super) fn into_parts(self) -> (BackFuture<P, S>, Option<Duration>) {
        (self.future, self.within)
    }
}

impl<P: Replies, S> fmt::Debug for Deferred<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("within", &self.within).finish_non_exhaustive()
    }
}

impl<P: Replies, S> IntoReply<P, S> for Deferred<P, S> {
    fn into_reply(self, _: &mut Out<'_, P>) -> Action<P, S> {
        Action::Deferred(self)
    }
}

impl<P: Replies, S: 'static> Action<P, S> {
    /// The same action of a session of which `S` is a part. *Costs*: two allocations for a deferred reply.
    #[inline]
    pub(crate) fn lift<T: 'static>(self, part: fn(&mut T) -> &mut S) -> Action<P, T> {
        match self {
            Self::Continue => Action::Continue,
            Self::Close => Action::Close,
            Self::ReplyStream(stream) => Action::ReplyStream(stream),
            Self::Deferred(Deferred { future, within }) => {
                let future = Box::pin(async move {
                    let back = future.await;
                    Box::new(move |session: &mut T, cx: &mut Cx<'_, P>| {
                        back(part(session), cx).lift(part)
                    }) as Back<P, T>
                });
                Action::Deferred(Deferred { future, within })
            }
        }
    }
}
