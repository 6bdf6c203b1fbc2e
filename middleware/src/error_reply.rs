//! The one place where an error becomes a reply.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Batch, BoxError, exceeded::Exceeded, macros::service_accessors, protocol::Protocol,
    response::IntoResponse,
};

/// Answers the errors that a peer can act on; other errors end the connection.
///
/// *Does*: turns Tower's [`Elapsed`](tower::timeout::error::Elapsed) into
/// [`Notice::Timeout`](crate::protocol::Notice::Timeout) and
/// [`Overloaded`](tower::load_shed::error::Overloaded) into
/// [`Notice::Overloaded`](crate::protocol::Notice::Overloaded), for lines `ERR timeout` and `ERR overloaded`,
/// once for each frame of the batch, so that replies still match frames. *Does not*: change other errors.
/// *Goes*: outermost in the line stack. *Costs*: eight bytes a call.
///
/// Made by [`ErrorReplyLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct ErrorReply<S> {
    inner: S,
}

impl<S> ErrorReply<S> {
    /// Answers errors of `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    service_accessors!();
}

impl<S, P> Service<Batch<P>> for ErrorReply<S>
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
        ResponseFuture { count: batch.count() as u32, inner: self.inner.call(batch) }
    }
}

pin_project! {
    /// Response future of [`ErrorReply`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        count: u32,
        #[pin]
        inner: F,
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
        Poll::Ready(match ready!(this.inner.poll(cx)) {
            Ok(reply) => Ok(reply),
            Err(error) => answer(error.into(), *this.count),
        })
    }
}

#[cold]
fn answer<R: IntoResponse>(error: BoxError, count: u32) -> Result<R, BoxError> {
    match Exceeded::of(&error) {
        Some(exceeded) => Ok(Batch::notice(&exceeded.notice(), count).into()),
        None => Err(error),
    }
}

/// Layer for [`ErrorReply`].
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use towline_middleware::{BoxError, ErrorReplyLayer, Lines, TimeoutLayer};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() -> Result<(), BoxError> {
/// let hangs = service_fn(|_: Lines| std::future::pending::<Result<Lines, BoxError>>());
/// let service = ServiceBuilder::new()
///     .layer(ErrorReplyLayer::new())
///     .layer(TimeoutLayer::new(Duration::from_secs(5)))
///     .service(hangs);
/// let reply = service.oneshot(Lines::from_iter(["a", "b"])).await?;
/// assert_eq!(reply.as_bytes(), b"ERR timeout\nERR timeout\n");
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ErrorReplyLayer;

impl ErrorReplyLayer {
    /// The layer; it has no parameters.
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for ErrorReplyLayer {
    type Service = ErrorReply<S>;

    fn layer(&self, inner: S) -> ErrorReply<S> {
        ErrorReply::new(inner)
    }
}
