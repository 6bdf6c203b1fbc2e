//! Answers for a session in the serving loop.

use std::{
    fmt,
    panic::{self, AssertUnwindSafe},
    task::{Context, Poll},
    thread,
};

use bytes::BytesMut;

use super::{
    Conn, Session, SessionStack,
    running::{Running, SessionCall},
};
use crate::{
    Batch, BoxError,
    protocol::{Notice, Protocol},
    push::{Fact, Recipient},
    response::{SessionReply, sealed::Then},
    serve::{Overlapped, Respond},
    stats::CloseReason,
    thread_context::{READINESS, Readiness},
};

/// What answers the batches of a connection for its session.
///
/// Closes the session with [`CloseReason::Shutdown`] when it is dropped before the loop closed it, or with
/// [`CloseReason::ServicePanic`] while panicking.
pub struct SessionResponder<S: Session>(State<S>);

enum State<S: Session> {
    Running(Box<Running<S>>),
    /// There is no session: the connection is told why, and closed.
    Refused(Box<Refused>),
    Closed,
}

/// A connection that gets no session, and why: the text is said in the words of the protocol, and the connection
/// is closed, as [`CloseReason::ServiceClose`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub &'static str);

impl<S: Session> SessionResponder<S> {
    /// Answers for `session` on `conn`, within the limits of `stack`.
    pub fn new(session: S, conn: Conn<S::Protocol>, stack: SessionStack) -> Self {
        Self(State::Running(Box::new(Running::new(session, conn, stack))))
    }

    /// Refuses the connection.
    pub fn refused(refused: Refused) -> Self {
        Self(State::Refused(Box::new(refused)))
    }

    fn close_session(&mut self, reason: CloseReason) {
        if let State::Running(running) = std::mem::replace(&mut self.0, State::Closed) {
            // Nothing that is sent from now on is for it: not even what its own end says to a group.
            running.conn.recipient().close_mailbox();
            let session = running.session;
            // In a drop while panicking a second panic would abort the process.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| session.on_close(reason)));
        }
    }

    fn running(&mut self) -> Option<&mut Running<S>> {
        match &mut self.0 {
            State::Running(running) => Some(running),
            _ => None,
        }
    }
}

impl<S: Session> fmt::Debug for SessionResponder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            State::Running(running) => {
                f.debug_tuple("SessionResponder").field(&running.conn).finish()
            }
            State::Refused(refused) => f.debug_tuple("SessionResponder").field(refused).finish(),
            State::Closed => f.write_str("SessionResponder(Closed)"),
        }
    }
}

impl<S: Session> Drop for SessionResponder<S> {
    fn drop(&mut self) {
        let panics = thread::panicking();
        self.close_session(if panics { CloseReason::ServicePanic } else { CloseReason::Shutdown });
    }
}

impl<S: Session> Respond<S::Protocol> for SessionResponder<S> {
    type Call = SessionCall<S>;
    type Reply = SessionReply<S::Protocol>;
    const IS_SESSION: bool = true;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, batch: Batch<S::Protocol>) -> SessionCall<S> {
        match self.running() {
            Some(running) => running.begin(batch),
            None => SessionCall::nothing(),
        }
    }

    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut SessionCall<S>,
    ) -> Poll<Result<Self::Reply, BoxError>> {
        // A call that timed out while it waited for a permit left the flag set.
        READINESS.with(Readiness::take_awaited);
        READINESS.with(Readiness::take_room_awaited);
        match &mut self.0 {
            State::Running(running) => running.answer(cx, call),
            State::Refused(refused) => {
                let mut out = BytesMut::new();
                S::Protocol::notice(&Notice::Refused(refused.0), &mut out);
                let close = Then::Close(CloseReason::ServiceClose);
                Poll::Ready(Ok(SessionReply::new(Batch::counted(out, 1), close)))
            }
            State::Closed => Poll::Ready(Ok(SessionReply::new(Batch::default(), Then::Next))),
        }
    }

    fn poll_blocked(&mut self, cx: &mut Context<'_>, call: &mut SessionCall<S>) {
        READINESS.with(Readiness::take_awaited);
        call.poll_blocked(cx);
    }

    fn overlapped(&self, call: &SessionCall<S>) -> Option<Overlapped> {
        call.overlapped()
    }

    fn extend(&mut self, call: &mut SessionCall<S>, batch: Batch<S::Protocol>) {
        if let Some(running) = self.running() {
            running.extend(call, batch);
        }
    }

    fn take_frame_max(&mut self) -> Option<usize> {
        self.running()?.frame_max.take_unsent()
    }

    fn open(&mut self) -> Option<SessionCall<S>> {
        Some(SessionCall::hook(S::on_open, None))
    }

    fn drain(&mut self, reason: CloseReason) -> Option<SessionCall<S>> {
        self.running()?.drain(reason)
    }

    fn secured(&mut self, fact: Option<Fact>) -> Option<SessionCall<S>> {
        self.running()?.secured(fact)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<SessionCall<S>> {
        self.running().map_or(Poll::Pending, |running| running.poll_timer(cx))
    }

    fn close(&mut self, reason: CloseReason) {
        self.close_session(reason);
    }

    #[inline]
    fn recipient(&self) -> Option<&Recipient> {
        match &self.0 {
            State::Running(running) => Some(running.conn.recipient()),
            _ => None,
        }
    }

    fn register_mail(&mut self, cx: &Context<'_>) -> bool {
        self.running().is_some_and(|running| running.register_mail(cx))
    }

    fn is_between_replies(&self, call: &SessionCall<S>) -> bool {
        call.is_between_replies()
    }
}
