//! Metrics and limits that the sessions of a shard share, also for services that answer in parts.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    StartTls,
    deferred::{Back, BackFuture},
};
use crate::{
    BoxError, ConcurrencyLimit, ConcurrencyLimitLayer, Semaphore, Timeout, TimeoutLayer,
    connections::Endpoints,
    exceeded::Exceeded,
    push::{Conn, PushShard},
    reply::Replies,
    stats::{PendingCommand, Stats},
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
    pushes: Option<PushShard>,
    tls: Option<Arc<dyn StartTls>>,
    limited: ConcurrencyLimit<Run>,
    timed: Timeout<ConcurrencyLimit<Run>>,
}

impl Shared {
    fn copied(&self) -> Self {
        let Self { stats, pushes, tls, limited, timed } = self;
        let (stats, pushes, tls) = (stats.clone(), pushes.clone(), tls.clone());
        Self { stats, pushes, tls, limited: limited.clone(), timed: timed.clone() }
    }
}

impl SessionStack {
    /// Counts in `stats`, and limits what is waited for by `timeout` and `limit`.
    pub fn new(stats: Arc<Stats>, timeout: &TimeoutLayer, limit: &ConcurrencyLimitLayer) -> Self {
        let limited = limit.layer(Run);
        let timed = timeout.layer(limited.clone());
        Self(Arc::new(Shared { stats, pushes: None, tls: None, timed, limited }))
    }

    /// Has connections pushed to by `shard`. Default: nothing can be pushed to them.
    #[must_use]
    pub fn pushes(self, shard: PushShard) -> Self {
        Self(Arc::new(Shared { pushes: Some(shard), ..self.0.copied() }))
    }

    /// Has connections go over to TLS by `tls` when their sessions say so. Default: they do not.
    #[must_use]
    pub fn start_tls(self, tls: Arc<dyn StartTls>) -> Self {
        Self(Arc::new(Shared { tls: Some(tls), ..self.0.copied() }))
    }

    /// A connection of a session within this stack, between these ends.
    pub fn conn<P: Replies>(&self, endpoints: impl Into<Endpoints>) -> Conn<P> {
        Conn::on_shard(endpoints.into(), self.0.pushes.clone())
    }

    /// How connections go over to TLS.
    pub(super) fn tls(&self) -> Option<&Arc<dyn StartTls>> {
        self.0.tls.as_ref()
    }

    /// The metrics.
    #[inline]
    pub(crate) fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Counts nothing and limits nothing.
    pub fn unlimited() -> Self {
        let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(usize::MAX)));
        Self::new(Stats::unobserved(), &TimeoutLayer::new(None), &limit)
    }

    /// Polls a future that waits: for a permit first, and not longer than `within`, or the stack's timeout.
    pub(super) fn limit<P: Replies, S>(
        &self,
        future: BackFuture<P, S>,
        within: Option<Duration>,
    ) -> Limited<P, S> {
        let command = future.command().cloned();
        let future = match within {
            None => self.0.timed.clone().call(future),
            Some(timeout) => Timeout::new(self.0.limited.clone(), timeout).call(future),
        };
        Limited { future, command }
    }

    /// Polls what a service of batches waits for: for a permit first, and not longer than the stack's timeout.
    pub(crate) fn limit_wait<F: Future + Unpin>(&self, wait: F) -> LimitedWait<F> {
        self.0.timed.clone().call(wait)
    }
}

/// A future that waits, within the limits.
pub(crate) type LimitedWait<F> = <Timeout<ConcurrencyLimit<Run>> as Service<F>>::Future;

pin_project! {
    /// A deferred reply that waits, within the limits.
    pub(super) struct Limited<P: Replies, S> {
        #[pin]
        future: LimitedWait<BackFuture<P, S>>,
        command: Option<PendingCommand>,
    }
}

impl<P: Replies, S> Future for Limited<P, S> {
    type Output = Result<Back<P, S>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let done = ready!(this.future.poll(cx));
        if let (Err(error), Some(command)) = (&done, this.command.take()) {
            count_unanswered(&command, error);
        }
        Poll::Ready(done)
    }
}

/// Counts a command whose reply is the protocol's word for a timeout or an overload.
fn count_unanswered(command: &PendingCommand, error: &BoxError) {
    if let Some(exceeded) = Exceeded::of(error) {
        command.count(exceeded.command_result());
        command.record();
    }
}

/// Runs the future that it is called with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run;

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
pub(crate) struct RunFuture<F>(F);

impl<F: Future + Unpin> Future for RunFuture<F> {
    type Output = Result<F::Output, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(Ok)
    }
}
