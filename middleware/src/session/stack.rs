//! What the sessions of a shard share.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, ConcurrencyLimit, ConcurrencyLimitLayer, Semaphore, Timeout, TimeoutLayer,
    stats::Stats,
};

/// What surrounds the sessions of a shard: the metrics in which their frames count, and the limits of what they
/// wait for.
///
/// A session is no service, so the layers of a line stack do not surround it. Those of them that make sense for
/// it hold for each [`Deferred`](super::Deferred) that waits: a command that is answered at once can neither
/// exceed a timeout nor hold a permit.
///
/// Cheap to clone: one pointer.
#[derive(Debug, Clone)]
pub struct SessionStack(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stats: Arc<Stats>,
    limited: ConcurrencyLimit<Run>,
    timed: Timeout<ConcurrencyLimit<Run>>,
}

impl SessionStack {
    /// Counts in `stats`, and limits what is waited for by `timeout` and `limit`.
    pub fn new(stats: Arc<Stats>, timeout: &TimeoutLayer, limit: &ConcurrencyLimitLayer) -> Self {
        let limited = limit.layer(Run);
        Self(Arc::new(Shared { stats, timed: timeout.layer(limited.clone()), limited }))
    }

    /// The metrics.
    #[inline]
    pub(super) fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Counts nothing and limits nothing.
    pub fn unlimited() -> Self {
        let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(usize::MAX)));
        Self::new(Stats::unobserved(), &TimeoutLayer::new(None), &limit)
    }

    /// Polls a future that waits: for a permit first, and not longer than `within`, or the stack's timeout.
    pub(super) fn limit<F: Future + Unpin>(
        &self,
        future: F,
        within: Option<Duration>,
    ) -> Limited<F> {
        match within {
            None => self.0.timed.clone().call(future),
            Some(timeout) => Timeout::new(self.0.limited.clone(), timeout).call(future),
        }
    }
}

/// A future that waits, within the limits.
pub(super) type Limited<F> = <Timeout<ConcurrencyLimit<Run>> as Service<F>>::Future;

/// Runs the future that it is called with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run;

impl<F: Future + Unpin> Service<F> for Run {
    type Response = F::Output;
    type Error = BoxError;
    type Future = RunFuture<F>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, future: F) -> RunFuture<F> {
        RunFuture(future)
    }
}

/// Response future of [`Run`].
#[derive(Debug)]
pub(super) struct RunFuture<F>(F);

impl<F: Future + Unpin> Future for RunFuture<F> {
    type Output = Result<F::Output, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}
