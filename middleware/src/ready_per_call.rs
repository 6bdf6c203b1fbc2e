//! Readiness asked for with a batch in hand.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::{macros::service_accessors, thread_context::READINESS};

/// Always ready; waits for the inner service's readiness inside the call. What Tower calls *oneshot*, as a
/// service.
///
/// *Does*: clones the inner service for each call and makes the clone ready there, so that a reservation
/// (a permit of Tower's `ConcurrencyLimit`) lives no longer than the batch it was made for, and a timeout
/// around this covers the wait for it. *Does not*: bound anything itself. *Goes*: between a timeout and
/// Tower's `LoadShed`, `ConcurrencyLimit`, `Buffer`. *Costs*: a clone of the inner service a call.
///
/// Tower's `Timeout` alone starts at `call`, and does not see the wait in `poll_ready`.
///
/// Works for any request. Made by [`ReadyPerCallLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct ReadyPerCall<S> {
    inner: S,
}

impl<S> ReadyPerCall<S> {
    /// Asks clones of `inner` for readiness.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }

    service_accessors!();
}

impl<S, Request> Service<Request> for ReadyPerCall<S>
where
    S: Service<Request> + Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S, Request>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let mut service = self.inner.clone();
        // Mostly it is ready. If not, it is polled again, with the task's waker, when the call is.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(request) },
            Poll::Ready(Err(error)) => State::Failed { error: Some(error) },
            Poll::Pending => State::NotReady { service, request: Some(request) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// Response future of [`ReadyPerCall`].
    #[derive(Debug)]
    pub struct ResponseFuture<S, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        state: State<S, Request, S::Future, S::Error>,
    }
}

pin_project! {
    #[derive(Debug)]
    #[project = StateProj]
    enum State<S, Request, F, Error> {
        NotReady { service: S, request: Option<Request> },
        Failed { error: Option<Error> },
        Called { #[pin] future: F },
    }
}

impl<S, Request> Future for ResponseFuture<S, Request>
where
    S: Service<Request>,
{
    type Output = Result<S::Response, S::Error>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let called = match state.as_mut().project() {
                StateProj::Called { future } => return future.poll(cx),
                StateProj::Failed { error } => {
                    return Poll::Ready(Err(error.take().expect("polled after it failed")));
                }
                StateProj::NotReady { service, request } => {
                    ready!(READINESS.with(|readiness| readiness.poll(|| service.poll_ready(cx))))?;
                    let request = request.take().expect("a request is given to its service once");
                    State::Called { future: service.call(request) }
                }
            };
            state.set(called);
        }
    }
}

/// Layer for [`ReadyPerCall`].
///
/// ```
/// use std::time::Duration;
/// use tower::{Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, service_fn};
/// use towline_middleware::{BoxError, ReadyPerCallLayer};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let hangs = service_fn(|()| std::future::pending::<Result<(), BoxError>>());
/// let service = ServiceBuilder::new()
///     .timeout(Duration::from_secs(5))
///     .layer(ReadyPerCallLayer::new())
///     .layer(ConcurrencyLimitLayer::new(1))
///     .service(hangs);
/// // The second call waits for the permit of the first, and its timeout covers that.
/// let (first, second) = (service.clone(), service);
/// let (first, second) = tokio::join!(first.oneshot(()), second.oneshot(()));
/// assert!(first.is_err() && second.is_err());
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ReadyPerCallLayer;

impl ReadyPerCallLayer {
    /// The layer; it has no parameters.
    pub const fn new() -> Self {
        Self
    }
}

impl<S> Layer<S> for ReadyPerCallLayer {
    type Service = ReadyPerCall<S>;

    fn layer(&self, inner: S) -> ReadyPerCall<S> {
        ReadyPerCall::new(inner)
    }
}
