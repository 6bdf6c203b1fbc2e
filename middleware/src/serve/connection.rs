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
    fairness::Appetite,
    stats::{CloseReason, Presence},
};

/// Where the loop stands. What only some steps need is boxed, so that an idle connection does not
/// carry its size.
pub(super) enum Step<S: Service<Lines>> {
    Open {
        /// Lines given to the sink since the last write; counted only under `FlushPolicy::Every`.
        unflushed: u32,
        appetite: Appetite,
    },
    /// A batch in hand, the service not ready for it yet.
    Waiting(Box<Lines>),
    Serving {
        call: Box<S::Future>,
        /// Bytes of the batch.
        in_hand: u32,
        appetite: Appetite,
    },
    /// Replies not yet given to the sink, because the policy wants a write before them.
    Feeding(Box<Feed>),
    Flushing {
        /// As in `Open`, if the policy leaves them.
        unflushed: u32,
        appetite: Appetite,
    },
    /// Out of time: to be cut when it is let out, or when anything else wakes it.
    Lapsed(CloseReason),
    Closing(CloseReason),
    Lingering(Box<Linger>),
}

impl<S: Service<Lines>> Step<S> {
    /// Nothing in hand and nothing unwritten.
    pub(super) const OPEN: Self = Self::Open { unflushed: 0, appetite: Appetite::NONE };

    /// How much it reads; of one that does something else, that nothing is known.
    pub(super) const fn known_appetite(&self) -> Appetite {
        match self {
            Self::Open { appetite, .. }
            | Self::Serving { appetite, .. }
            | Self::Flushing { appetite, .. } => *appetite,
            _ => Appetite::NONE,
        }
    }

    /// The same, to be changed where it is known.
    pub(super) const fn appetite(&mut self) -> Option<&mut Appetite> {
        match self {
            Self::Open { appetite, .. }
            | Self::Serving { appetite, .. }
            | Self::Flushing { appetite, .. } => Some(appetite),
            _ => None,
        }
    }

    /// Bytes of the batch that waits or is being served.
    pub(super) fn in_hand(&self) -> usize {
        match self {
            Self::Waiting(lines) => lines.as_bytes().len(),
            Self::Serving { in_hand, .. } => *in_hand as usize,
            _ => 0,
        }
    }
}

/// A reply on its way to the sink, under [`FlushPolicy::Every`](super::FlushPolicy::Every).
pub(super) struct Feed {
    pub(super) rest: Lines,
    /// Lines between two writes, as the policy was when the reply came.
    pub(super) every: NonZeroU32,
    /// Lines given to the sink since the last one.
    pub(super) unflushed: u32,
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
    }
}

impl<T, S: Service<Lines>> Exchange<T, S> {
    pub(super) fn new(wire: T, serve: Serve<S>) -> Self {
        Self {
            wire,
            service: serve.service,
            step: Step::OPEN,
            presence: Presence::new(serve.stats),
            drain: serve.drain.registration(),
            rules: serve.rules,
        }
    }
}

impl<T, S> Future for Exchange<T, S>
where
    T: Wire,
    S: Service<Lines, Response = Lines, Future: Unpin>,
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
