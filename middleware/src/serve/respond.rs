//! What the loop asks of that which answers a connection's batches.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::{
    Batch, BoxError,
    protocol::Protocol,
    push::{Fact, Recipient},
    response::IntoResponse,
    stats::CloseReason,
    thread_context::{READINESS, Readiness},
};

/// What answers the batches of one connection: every `Service<Batch<P>>` whose response is a batch or a
/// [`Response`](crate::Response), and a [session](crate::session::Session).
///
/// A service is called with a batch and gives a future. A session has no future of its own: its calls are
/// polled with the session in hand, so that it needs no lock. Sealed by its methods, which are what the loop
/// needs today, and may change.
pub trait Respond<P: Protocol> {
    /// A call that waits.
    #[doc(hidden)]
    type Call: Unpin;
    /// What a call gives.
    #[doc(hidden)]
    type Reply: IntoResponse<Protocol = P>;
    /// Whether it is told of the connection's beginning, its drain and its end, and may have a timer.
    #[doc(hidden)]
    const IS_SESSION: bool = false;

    #[doc(hidden)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>>;

    #[doc(hidden)]
    fn call(&mut self, batch: Batch<P>) -> Self::Call;

    /// Polls a call. One whose reply says that more comes by the same call is polled again.
    #[doc(hidden)]
    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut Self::Call,
    ) -> Poll<Result<Self::Reply, BoxError>>;

    /// Polls what a call waits for while its peer takes no replies, so that what it holds is free when that is
    /// done. Answers nothing.
    #[doc(hidden)]
    fn poll_blocked(&mut self, cx: &mut Context<'_>, call: &mut Self::Call) {
        let _ = (cx, call);
    }

    /// What the loop needs to know of a call that may take further batches; `None` for any other call.
    #[doc(hidden)]
    fn overlapped(&self, call: &Self::Call) -> Option<Overlapped> {
        let _ = call;
        None
    }

    /// Gives another batch to a call that [takes](Overlapped::takes_batch) one.
    #[doc(hidden)]
    fn extend(&mut self, call: &mut Self::Call, batch: Batch<P>) {
        let _ = (call, batch);
    }

    /// The limit of frames, if the session has set one since the last call.
    #[doc(hidden)]
    fn take_frame_max(&mut self) -> Option<usize> {
        None
    }

    /// The connection begins. Returns the call that greets the peer.
    #[doc(hidden)]
    fn open(&mut self) -> Option<Self::Call> {
        None
    }

    /// The connection drains, or was asked to close for `reason`, and everything that was read is answered.
    /// Returns the call that says the last words, once.
    #[doc(hidden)]
    fn drain(&mut self, reason: CloseReason) -> Option<Self::Call> {
        let _ = reason;
        None
    }

    /// The connection is encrypted from here on, and `fact` is what is known of its peer. Returns the call that tells
    /// the session.
    #[doc(hidden)]
    fn secured(&mut self, fact: Option<Fact>) -> Option<Self::Call> {
        let _ = fact;
        None
    }

    /// Ready when a timer has passed, with the call that answers it.
    #[doc(hidden)]
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Self::Call> {
        let _ = cx;
        Poll::Pending
    }

    /// To whom messages are pushed; `None` if nothing can be.
    #[doc(hidden)]
    fn recipient(&self) -> Option<&Recipient> {
        None
    }

    /// Has the task of `cx` woken when something is pushed. Returns whether something was.
    #[doc(hidden)]
    fn register_mail(&mut self, cx: &Context<'_>) -> bool {
        let _ = cx;
        false
    }

    /// Whether everything that a call has written so far ends with a reply.
    #[doc(hidden)]
    fn is_between_replies(&self, call: &Self::Call) -> bool {
        let _ = call;
        true
    }

    /// The connection has ended, or has nothing more to say. Later calls mean nothing.
    #[doc(hidden)]
    fn close(&mut self, reason: CloseReason) {
        let _ = reason;
    }
}

/// A call that may take further batches.
#[doc(hidden)]
#[derive(Debug, Clone, Copy)]
pub struct Overlapped {
    /// Bytes of its batch, and of replies that wait for earlier ones.
    pub held_bytes: usize,
    /// It takes another batch now.
    pub takes_batch: bool,
}

impl<S, P> Respond<P> for S
where
    S: Service<Batch<P>, Error: Into<BoxError>, Future: Unpin>,
    S::Response: IntoResponse<Protocol = P>,
    P: Protocol,
{
    type Call = S::Future;
    type Reply = S::Response;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Service::poll_ready(self, cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, batch: Batch<P>) -> S::Future {
        Service::call(self, batch)
    }

    #[inline]
    fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
        call: &mut S::Future,
    ) -> Poll<Result<S::Response, BoxError>> {
        // A call that timed out while it waited for readiness left the flag set.
        READINESS.with(Readiness::take_awaited);
        Pin::new(call).poll(cx).map_err(Into::into)
    }
}
