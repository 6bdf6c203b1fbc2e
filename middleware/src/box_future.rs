//! Futures that can be moved.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

/// Boxes the futures of a service, as async functions need where their futures are moved.
///
/// *Does*: makes the future of a call `Unpin`. *Does not*: change anything else, nor hide the type as
/// tower's `BoxService` does. *Goes*: around a service of async functions, as far inside as possible:
/// the layers around it then need no box. *Costs*: an allocation a call.
///
/// ```
/// use tower::{Service, service_fn};
/// use towline_middleware::{BoxFuture, BoxError, Lines, serve::Serve};
///
/// let slow = service_fn(|lines: Lines| async move { Ok::<_, BoxError>(lines) });
/// let mut boxed = BoxFuture::new(slow);
/// fn may_move(_: impl Future + Unpin) {}
/// may_move(boxed.call(Lines::default()));
/// let serve = Serve::unboxed(boxed);
/// ```
#[derive(Debug, Clone)]
pub struct BoxFuture<S> {
    inner: S,
}

impl<S> BoxFuture<S> {
    /// Wraps a service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Service<Request>, Request> Service<Request> for BoxFuture<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(self.inner.call(request))
    }
}
