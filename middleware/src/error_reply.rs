//! The one place where an error becomes a reply.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::{load_shed::error::Overloaded, timeout::error::Elapsed};
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, Lines};

const TIMEOUT: &[u8] = b"ERR timeout\n";
const OVERLOADED: &[u8] = b"ERR overloaded\n";

/// Answers the errors a peer can do something about; lets the others end the connection.
///
/// *Does*: turns tower's `Elapsed` into `ERR timeout` and `Overloaded` into `ERR overloaded`, once
/// for each line of the batch, so that replies still match lines. *Does not*: touch other errors.
/// *Goes*: outermost in the line stack. *Costs*: eight bytes a call.
#[derive(Debug, Clone)]
pub struct ErrorReply<S> {
    inner: S,
}

impl<S> ErrorReply<S> {
    /// Wraps a service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Lines> for ErrorReply<S>
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
        ResponseFuture { count: lines.count() as u32, inner: self.inner.call(lines) }
    }
}

pin_project! {
    /// Response of [`ErrorReply`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        count: u32,
        #[pin]
        inner: F,
    }
}

impl<F> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Lines, BoxError>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        Poll::Ready(match ready!(this.inner.poll(cx)) {
            Ok(reply) => Ok(reply),
            Err(error) => answer(error, *this.count),
        })
    }
}

#[cold]
fn answer(error: BoxError, count: u32) -> Result<Lines, BoxError> {
    if error.is::<Elapsed>() {
        Ok(Lines::repeat(TIMEOUT, count))
    } else if error.is::<Overloaded>() {
        Ok(Lines::repeat(OVERLOADED, count))
    } else {
        Err(error)
    }
}

/// Makes a [`ErrorReply`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ErrorReplyLayer;

impl<S> Layer<S> for ErrorReplyLayer {
    type Service = ErrorReply<S>;

    fn layer(&self, inner: S) -> ErrorReply<S> {
        ErrorReply::new(inner)
    }
}
