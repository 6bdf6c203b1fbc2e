//! A bound on the batches being served at once.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};
use tower::load_shed::error::Overloaded;
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, Dial, Position, ready_in_call::waiting_for_readiness};

/// Which calls are turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shedding {
    /// None: they wait for a permit, in the order of arrival.
    Never,
    /// Those for which no permit is left.
    WhenBusy,
    /// All, because something else than permits is short.
    Always,
}

impl Position for Shedding {
    fn to_bits(self) -> u64 {
        self as u64
    }

    fn from_bits(bits: u64) -> Self {
        match bits {
            0 => Self::Never,
            1 => Self::WhenBusy,
            _ => Self::Always,
        }
    }
}

/// Tower's `ConcurrencyLimit` and `LoadShed`, asking for the permit inside the call.
///
/// *Does*: takes a permit for each call and gives it back when the call's future is dropped; above
/// the limit lets calls wait, or fails them with Tower's own [`Overloaded`], as the dial stands when a
/// call comes. *Does not*: reserve anything before the call, so an idle
/// connection holds no permit and a shed call leaves no waiter behind. *Goes*: inside
/// [`Timeout`](crate::Timeout), so that the wait is covered. *Costs*: two reference counts and four
/// other locked instructions a call. Tower's pair has to be cloned for each call to leave nothing
/// behind, and so cost twice that and, with the code it takes, 3 % of a line in ping-pong.
#[derive(Debug, Clone)]
pub struct Limit<S> {
    inner: S,
    permits: Arc<Semaphore>,
    shedding: Arc<Dial<Shedding>>,
}

impl<S, Request> Service<Request> for Limit<S>
where
    S: Service<Request, Error = BoxError> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Request>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let shedding = self.shedding.get();
        let state = match self.permits.clone().try_acquire_owned() {
            _ if shedding == Shedding::Always => State::Shed,
            Ok(permit) => State::Called { future: self.inner.call(request), permit },
            Err(_) if shedding == Shedding::WhenBusy => State::Shed,
            Err(_) => {
                // The clone was not asked for readiness; this one was.
                let next = self.inner.clone();
                let service = std::mem::replace(&mut self.inner, next);
                let acquire = Box::pin(self.permits.clone().acquire_owned());
                State::Waiting { acquire, service, request: Some(request) }
            }
        };
        ResponseFuture { state }
    }
}

/// The wait for a permit. It has no name of its own, and few calls have it.
type Acquire = Pin<Box<dyn Future<Output = Result<OwnedSemaphorePermit, AcquireError>> + Send>>;

pin_project! {
    /// Response of [`Limit`].
    pub struct ResponseFuture<S, Request>
    where
        S: Service<Request>,
    {
        #[pin]
        state: State<S, Request, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, Request, F> {
        Called { #[pin] future: F, permit: OwnedSemaphorePermit },
        Waiting { acquire: Acquire, service: S, request: Option<Request> },
        Shed,
    }
}

impl<S, Request> Future for ResponseFuture<S, Request>
where
    S: Service<Request, Error = BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let (future, permit) = match state.as_mut().project() {
                StateProj::Called { future, .. } => return future.poll(cx),
                not_yet => ready!(not_yet.poll_permit(cx))?,
            };
            state.set(State::Called { future, permit });
        }
    }
}

impl<S, Request> StateProj<'_, S, Request, S::Future>
where
    S: Service<Request, Error = BoxError>,
{
    #[cold]
    fn poll_permit(
        self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(S::Future, OwnedSemaphorePermit), BoxError>> {
        let Self::Waiting { acquire, service, request } = self else {
            return Poll::Ready(Err(Overloaded::new().into()));
        };
        let permit = ready!(waiting_for_readiness(|| acquire.as_mut().poll(cx)))?;
        let request = request.take().expect("a request is given to its service once");
        Poll::Ready(Ok((service.call(request), permit)))
    }
}

/// Makes a [`Limit`].
#[derive(Debug, Clone)]
pub struct LimitLayer {
    permits: Arc<Semaphore>,
    shedding: Arc<Dial<Shedding>>,
}

impl LimitLayer {
    /// A call takes one of `permits`, which other limits may share, and waits for it.
    pub fn new(permits: Arc<Semaphore>) -> Self {
        Self::shared(permits, Arc::new(Dial::new(Shedding::Never)))
    }

    /// The same, but turns calls away as `shedding` stands.
    pub const fn shared(permits: Arc<Semaphore>, shedding: Arc<Dial<Shedding>>) -> Self {
        Self { permits, shedding }
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner, permits: self.permits.clone(), shedding: self.shedding.clone() }
    }
}
