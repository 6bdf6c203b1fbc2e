//! Replies that are waited for.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;

use super::{Action, Cx};
use crate::{
    reply::{IntoReply, Out, Replies},
    stats::{CommandResult, PendingCommand},
};

/// A reply that comes when a future is done.
///
/// *Does*: holds the frames behind it back, so that replies keep their order, unless replies
/// [overlap](super::Overlap); writes earlier replies meanwhile;
/// is answered with the protocol's word for a timeout, and the conversation goes on, if it waits longer than
/// `timeouts.request` or [`within`](Self::within); waits for a permit of `limits.concurrency` if it is not
/// done at once. Dropped when the peer is gone. *Costs*: two allocations.
///
/// While the peer takes no replies the future runs to its end, so that it keeps no permit, and what it gave waits.
/// If the connection ends meanwhile that is dropped: `back` of [`then`](Self::then) is not called. A value that must
/// not be lost, such as a job from a queue, goes back in its own [`Drop`].
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
pub struct Deferred<P: Replies, S>(Box<Parts<P, S>>);

/// The fields of a [`Deferred`]. Boxed, so that an [`Action`] is two words: every call of a session returns one,
/// and two words return in registers.
struct Parts<P: Replies, S> {
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
        let then = Then { future: Some(future), value: None, back: Some(back) };
        let future = BackFuture(Some(Box::pin(then)));
        Self(Box::new(Parts { future, within: None }))
    }
}

impl<P: Replies, S> Deferred<P, S> {
    /// Waits no longer than this. Default: `timeouts.request`.
    pub fn within(mut self, timeout: Duration) -> Self {
        self.0.within = Some(timeout);
        self
    }

    /// Waits no longer than `timeout`, unless it has a timeout of its own.
    pub(crate) fn or_within(mut self, timeout: Option<Duration>) -> Self {
        self.0.within = self.0.within.or(timeout);
        self
    }

    #[cold]
    fn lift<T: 'static>(
        self,
        part: fn(&mut T) -> &mut S,
        command: Option<PendingCommand>,
    ) -> Deferred<P, T>
    where
        S: 'static,
    {
        let Parts { future: BackFuture(later), within } = *self.0;
        let lift = |later| Box::pin(Lifted { later, part, command }) as BoxLater<P, T>;
        Deferred(Box::new(Parts { future: BackFuture(later.map(lift)), within }))
    }

    pub(super) fn into_parts(self) -> (BackFuture<P, S>, Option<Duration>) {
        (self.0.future, self.0.within)
    }
}

impl<P: Replies, S> fmt::Debug for Deferred<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred").field("within", &self.0.within).finish_non_exhaustive()
    }
}

impl<P: Replies, S> IntoReply<P, S> for Deferred<P, S> {
    fn into_reply(self, _: &mut Out<'_, P>) -> Action<P, S> {
        Action::Deferred(self)
    }
}

impl<P: Replies, S: 'static> Action<P, S> {
    /// The same action of a session of which `S` is a part. *Costs*: an allocation for a deferred reply.
    #[inline]
    pub(crate) fn lift<T: 'static>(self, part: fn(&mut T) -> &mut S) -> Action<P, T> {
        match self {
            Self::Continue => Action::Continue,
            Self::Close => Action::Close,
            Self::ReplyStream(stream) => Action::ReplyStream(stream),
            Self::Body(body) => Action::Body(body),
            Self::Detach(detach) => Action::Detach(detach),
            // A part of a session has no word in that: only a session is an `Upgrade`.
            Self::Secure(_) => Action::Continue,
            Self::Deferred(deferred) => Action::Deferred(deferred.lift(part, None)),
        }
    }

    /// As [`lift`](Self::lift), for the reply to `command`, which is counted now, or when its reply comes.
    pub(crate) fn lift_counted<T: 'static>(
        self,
        part: fn(&mut T) -> &mut S,
        command: PendingCommand,
        result: CommandResult,
    ) -> Action<P, T> {
        match self {
            Self::Deferred(deferred) => Action::Deferred(deferred.lift(part, Some(command))),
            Self::ReplyStream(stream) => {
                command.count(result);
                Action::ReplyStream(stream.of_command(command))
            }
            action => {
                command.count(result);
                command.record();
                action.lift(part)
            }
        }
    }
}

/// What a deferred reply waits for, and what the session does with it: one object, so that it is one
/// allocation.
trait Later<P: Replies, S>: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    /// Answers with what was waited for. Called once, after `poll` was ready.
    fn answer(self: Pin<&mut Self>, session: &mut S, cx: &mut Cx<'_, P>) -> Action<P, S>;

    /// The command of a router that waits for it.
    fn command(&self) -> Option<&PendingCommand> {
        None
    }
}

type BoxLater<P, S> = Pin<Box<dyn Later<P, S>>>;

/// The future of a [`Deferred`]. Ready once.
pub(super) struct BackFuture<P: Replies, S>(Option<BoxLater<P, S>>);

impl<P: Replies, S> Default for BackFuture<P, S> {
    /// One that is never ready.
    fn default() -> Self {
        Self(None)
    }
}

impl<P: Replies, S> BackFuture<P, S> {
    /// The command of a router that waits for this reply, to be counted if it is not answered.
    pub(super) fn command(&self) -> Option<&PendingCommand> {
        self.0.as_ref().and_then(|later| later.command())
    }
}

impl<P: Replies, S> Future for BackFuture<P, S> {
    type Output = Back<P, S>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Back<P, S>> {
        let Some(mut later) = self.0.take() else { return Poll::Pending };
        if later.as_mut().poll(cx).is_pending() {
            self.0 = Some(later);
            return Poll::Pending;
        }
        Poll::Ready(Back(later))
    }
}

/// What a future gives back to its session.
pub(super) struct Back<P: Replies, S>(BoxLater<P, S>);

impl<P: Replies, S> Back<P, S> {
    pub(super) fn answer(mut self, session: &mut S, cx: &mut Cx<'_, P>) -> Action<P, S> {
        self.0.as_mut().answer(session, cx)
    }
}

pin_project! {
    /// A future, and then what it returned.
    struct Then<F: Future, B> {
        #[pin]
        future: Option<F>,
        value: Option<F::Output>,
        back: Option<B>,
    }
}

impl<P, S, F, B> Later<P, S> for Then<F, B>
where
    P: Replies,
    F: Future<Output: Send> + Send,
    B: FnOnce(&mut S, F::Output, &mut Cx<'_, P>) -> Action<P, S> + Send,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        if let Some(future) = this.future.as_mut().as_pin_mut() {
            *this.value = Some(ready!(future.poll(cx)));
            // What it holds is free before the session goes on.
            this.future.set(None);
        }
        Poll::Ready(())
    }

    fn answer(self: Pin<&mut Self>, session: &mut S, cx: &mut Cx<'_, P>) -> Action<P, S> {
        let this = self.project();
        match (this.value.take(), this.back.take()) {
            (Some(value), Some(back)) => back(session, value, cx),
            // Not ready, or answered before: there is nothing to say.
            _ => Action::Continue,
        }
    }
}

/// What a part of the session waits for.
struct Lifted<P: Replies, S, T> {
    later: BoxLater<P, S>,
    part: fn(&mut T) -> &mut S,
    command: Option<PendingCommand>,
}

impl<P: Replies, S: 'static, T: 'static> Later<P, T> for Lifted<P, S, T> {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.later.as_mut().poll(cx)
    }

    fn answer(mut self: Pin<&mut Self>, session: &mut T, cx: &mut Cx<'_, P>) -> Action<P, T> {
        let part = self.part;
        let action = self.later.as_mut().answer(part(session), cx);
        match self.command.take() {
            None => action.lift(part),
            Some(command) => action.lift_counted(part, command, cx.take_command_result()),
        }
    }

    fn command(&self) -> Option<&PendingCommand> {
        self.command.as_ref()
    }
}

#[cfg(test)]
#[test]
fn an_action_returns_in_two_registers() {
    assert_eq!(size_of::<Action<crate::protocol::Lf, ()>>(), 2 * size_of::<usize>());
}
