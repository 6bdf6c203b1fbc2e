//! Futures that can be moved.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use tower_service::Service;

use crate::macros::service_accessors;

/// Boxes the futures of a service, so that they can be moved.
///
/// *Does*: makes the future of a call `Unpin`, as the futures of async functions are not. *Does not*: hide
/// the type of the service or of the future, as Tower's `BoxService` does; it is
/// [`map_future(Box::pin)`](tower::ServiceExt::map_future) with a name that a type can contain. *Goes*:
/// around a service of async functions, as far inside as possible: the layers around it then need no box.
/// *Costs*: an allocation a call.
///
/// Works for any request.
///
/// ```
/// use tower::{Service, service_fn};
/// use towline_middleware::{BoxError, BoxFuture, Lines, serve::Serve};
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
    /// Boxes the futures of `inner`.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    service_accessors!();
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
