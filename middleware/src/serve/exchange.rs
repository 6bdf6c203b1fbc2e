use std::{
    convert::Infallible,
    fmt,
    future::Future,
    num::NonZeroU32,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower_service::Service;

use super::{Rules, Serve};
use crate::{
    Lines, Wire,
    drain::Registration,
    stats::{CloseReason, Presence},
    turns::Appetite,
};

/// Where the loop stands. What only some steps need is boxed, so that an idle connection does not
/// carry its size.
pub(super) enum Step<S: Service<Lines>> {
    Open,
    /// A batch in hand, the service not ready for it yet.
    Waiting(Box<Lines>),
    Serving(Pin<Box<S::Future>>),
    /// Replies not yet given to the sink, because the policy wants a write before them.
    Feeding(Box<Feed>),
    Flushing,
    Closing(CloseReason),
    Lingering(Box<Linger>),
}

/// A reply on its way to the sink, under [`FlushPolicy::Every`](super::FlushPolicy::Every).
pub(super) struct Feed {
    pub(super) rest: Lines,
    /// Lines between two writes, as the policy was when the reply came.
    pub(super) every: NonZeroU32,
}

/// After our close, until the peer's.
pub(super) struct Linger {
    pub(super) why: CloseReason,
    pub(super) over: Pin<Box<Sleep>>,
    /// What may still be read and forgotten.
    pub(super) left_bytes: usize,
}

pin_project! {
    /// One connection being served: a future that ends, with the reason, when the connection does.
    ///
    /// Dropping it cuts the connection; the books then say `shutdown`, or `service_panic` while
    /// panicking.
    #[project = Running]
    #[must_use = "futures do nothing unless polled"]
    pub struct Exchange<T, S: Service<Lines>> {
        #[pin]
        pub(super) wire: T,
        pub(super) service: S,
        pub(super) step: Step<S>,
        pub(super) presence: Presence,
        pub(super) drain: Registration,
        pub(super) rules: Arc<Rules>,
        // Lines given to the sink since the last write; counted only under `FlushPolicy::Every`.
        pub(super) unflushed: u32,
        // Bytes of the batch that is being served.
        pub(super) in_hand: u32,
        pub(super) appetite: Appetite,
    }
}

impl<T, S: Service<Lines>> Exchange<T, S> {
    pub(super) fn new(wire: T, serve: Serve<S>) -> Self {
        Self {
            wire,
            service: serve.service,
            step: Step::Open,
            presence: Presence::new(serve.stats),
            drain: serve.drain.registration(),
            rules: serve.rules,
            unflushed: 0,
            in_hand: 0,
            appetite: Appetite::default(),
        }
    }
}

impl<T, S> Future for Exchange<T, S>
where
    T: Wire,
    S: Service<Lines, Response = Lines>,
{
    type Output = Result<CloseReason, Infallible>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut running = self.project();
        running.presence.resume();
        let reason = ready!(running.run(cx));
        running.presence.close(reason);
        Poll::Ready(Ok(reason))
    }
}

impl<T, S: Service<Lines>> fmt::Debug for Exchange<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("presence", &self.presence).finish_non_exhaustive()
    }
}
