//! Readiness asked for only with a batch in hand.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use crate::thread_context::READINESS;

/// Always ready; waits for the inner service's readiness inside the call.
///
/// *Does*: clones the inner service for each call and makes the clone ready there, so that a
/// reservation (a permit of `ConcurrencyLimit`) lives no longer than the batch it was made for, and
/// a timeout around this covers the wait for it. *Does not*: bound anything itself. *Goes*: between
/// tower's `Timeout` and its `LoadShed` or `ConcurrencyLimit`. *Costs*: a clone of the inner service
/// a call, and no more than a pointer in each clone of its own: what is inside, a hundred bytes of
/// limits and settings, is shared by all of them.
///
/// Tower's `Timeout` alone starts its clock at `call`; the wait in `poll_ready` is outside it.
#[derive(Debug)]
pub struct ReadyPerCall<S> {
    inner: Arc<S>,
}

// By hand: a clone of the pointer asks nothing of what it points at.
impl<S> Clone for ReadyPerCall<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone() }
    }
}

impl<S> ReadyPerCall<S> {
    /// Wraps a service.
    pub fn new(inner: S) -> Self {
        Self { inner: Arc::new(inner) }
    }
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
        let mut service = S::clone(&self.inner);
        // Most of the time it is ready. Where it is not, it is asked again, by whom it shall wake,
        // when the call is polled.
        let state = match service.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(())) => State::Called { future: service.call(request) },
            Poll::Ready(Err(error)) => State::Failed { error: Some(error) },
            Poll::Pending => State::NotReady { service, request: Some(request) },
        };
        ResponseFuture { state }
    }
}

pin_project! {
    /// Response of [`ReadyPerCall`].
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

/// Makes a [`ReadyPerCall`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ReadyPerCallLayer;

impl<S> Layer<S> for ReadyPerCallLayer {
    type Service = ReadyPerCall<S>;

    fn layer(&self, inner: S) -> ReadyPerCall<S> {
        ReadyPerCall::new(inner)
    }
}
