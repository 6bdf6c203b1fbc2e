//! Lines counted by how they ended.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError, Lines,
    stats::{LineResult, Nanos, Stats},
};

/// Counts lines, batches, results and the time from a batch's arrival to its reply.
///
/// *Does*: counts, in [`Stats`]. *Does not*: change anything. *Goes*: directly inside
/// [`ErrorReply`](crate::ErrorReply), where errors are still errors. *Costs*: five adds and two
/// reference counts a batch, about 30 ns; nothing a line. The time begins when the connection's task
/// looked at the clock last and ends when it looks next, so the read that brought the batch is in it, and
/// the write of its reply where the next batch is not there yet. Outside a connection's task the clock is
/// read for it. A batch that is cut off, because its connection went away, is received and never
/// processed.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    stats: Arc<Stats>,
}

impl<S> Service<Lines> for Observe<S>
where
    S: Service<Lines, Response = Lines, Error = BoxError>,
{
    type Response = Lines;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, lines: Lines) -> Self::Future {
        let count = lines.count() as u32;
        self.stats.lines_received.add(u64::from(count));
        self.stats.batches.add(1);
        ResponseFuture {
            count,
            begun: self.stats.begin_batch(),
            inner: self.inner.call(lines),
            stats: self.stats.clone(),
        }
    }
}

pin_project! {
    /// Response of [`Observe`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        count: u32,
        begun: Nanos,
        stats: Arc<Stats>,
    }
}

impl<F> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Lines, BoxError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        let result = match &output {
            Ok(_) => LineResult::Ok,
            Err(error) => kind(error),
        };
        this.stats.lines_processed[result as usize].add(u64::from(*this.count));
        this.stats.reply_batch(*this.begun);
        Poll::Ready(output)
    }
}

#[cold]
fn kind(error: &BoxError) -> LineResult {
    if error.is::<Elapsed>() {
        LineResult::Timeout
    } else if error.is::<Overloaded>() {
        LineResult::Shed
    } else {
        LineResult::Error
    }
}

/// Makes an [`Observe`].
#[derive(Debug, Clone)]
pub struct ObserveLayer {
    stats: Arc<Stats>,
}

impl ObserveLayer {
    /// Counts in `stats`.
    pub const fn new(stats: Arc<Stats>) -> Self {
        Self { stats }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, stats: self.stats.clone() }
    }
}
