//! Lines counted by how they ended.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Batch, BoxError,
    clock::Nanos,
    exceeded::Exceeded,
    macros::service_accessors,
    protocol::Protocol,
    response::IntoResponse,
    stats::{LineResult, Stats},
};

/// Counts lines, batches, results and the time from a batch's arrival to its reply.
///
/// *Does*: counts, in a [`Stats`]. *Does not*: change anything. *Goes*: directly inside
/// [`ErrorReply`](crate::ErrorReply), where errors are still errors. *Costs*: five adds and two reference
/// counts a batch, about 30 ns; nothing a line.
///
/// A batch's time begins at the last clock reading of its connection's task and ends at the next. So it
/// contains the read that brought the batch, and the write of its reply unless another batch follows at
/// once. The time of a batch that is answered in parts ends with the first part. Outside a connection's task the
/// clock is read for it. A batch that is dropped, because its connection ended, counts as received and never as
/// processed.
///
/// Made by [`ObserveLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    /// `None` if they count nothing.
    stats: Option<Arc<Stats>>,
}

impl<S> Observe<S> {
    /// Counts the batches of `inner` in `stats`.
    pub fn new(inner: S, stats: Arc<Stats>) -> Self {
        Self { inner, stats: counted(stats) }
    }

    service_accessors!();
}

impl<S, P> Service<Batch<P>> for Observe<S>
where
    S: Service<Batch<P>, Error: Into<BoxError>>,
    S::Response: IntoResponse<Protocol = P>,
    P: Protocol,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, batch: Batch<P>) -> Self::Future {
        let (mut count, mut begun) = (0, Nanos(0));
        if let Some(stats) = &self.stats {
            count = batch.count() as u32;
            stats.lines_received.add(u64::from(count));
            stats.batches.add(1);
            begun = stats.begin_batch();
        }
        ResponseFuture { count, begun, inner: self.inner.call(batch), stats: self.stats.clone() }
    }
}

/// The stats that a batch is counted in, if it is.
fn counted(stats: Arc<Stats>) -> Option<Arc<Stats>> {
    stats.is_counted().then_some(stats)
}

pin_project! {
    /// Response future of [`Observe`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        count: u32,
        begun: Nanos,
        stats: Option<Arc<Stats>>,
    }
}

impl<F, Response, Error> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response, Error>>,
    Response: IntoResponse,
    Error: Into<BoxError>,
{
    type Output = Result<Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx)).map_err(Into::into);
        if let Some(stats) = this.stats {
            let (result, lines) = match &output {
                // The loop counts those that are answered in later parts.
                Ok(response) => (LineResult::Ok, this.count.saturating_sub(response.unanswered())),
                Err(error) => {
                    let exceeded = Exceeded::of(error);
                    (exceeded.map_or(LineResult::Error, Exceeded::result), *this.count)
                }
            };
            stats.lines_processed[result as usize].add(u64::from(lines));
            stats.reply_batch(*this.begun);
        }
        Poll::Ready(output)
    }
}

/// Layer for [`Observe`].
///
/// ```
/// use std::sync::Arc;
/// use tokio::time::Instant;
/// use tower::{ServiceBuilder, ServiceExt};
/// use towline_middleware::{BoxError, Echo, Lines, ObserveLayer, stats::{LineResult, Stats}};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let stats = Arc::new(Stats::new(Instant::now()));
/// let service = ServiceBuilder::new().layer(ObserveLayer::new(stats.clone())).service(Echo);
/// service.oneshot(Lines::from_iter(["a", "b"])).await?;
/// assert_eq!(stats.batches.get(), 1);
/// assert_eq!(stats.lines_processed[LineResult::Ok as usize].get(), 2);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct ObserveLayer {
    stats: Option<Arc<Stats>>,
}

impl ObserveLayer {
    /// Counts in `stats`.
    pub fn new(stats: Arc<Stats>) -> Self {
        Self { stats: counted(stats) }
    }
}

impl<S> Layer<S> for ObserveLayer {
    type Service = Observe<S>;

    fn layer(&self, inner: S) -> Observe<S> {
        Observe { inner, stats: self.stats.clone() }
    }
}
