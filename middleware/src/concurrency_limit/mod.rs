//! A bound on the batches being served at once.

mod semaphore;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower::load_shed::error::Overloaded;
use tower_layer::Layer;
use tower_service::Service;

pub use self::semaphore::Permits;
use crate::{BoxError, Dial, Position, ready_per_call::waiting_for_readiness};

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
/// the limit lets calls wait, or fails them with Tower's own [`Overloaded`], as the layer was told when
/// a call comes. *Does not*: reserve anything before the call, so an idle connection holds no permit
/// and a shed call leaves no waiter behind. *Goes*: inside [`Timeout`](crate::Timeout), so that the
/// wait is covered. *Costs*: two reference counts, which stay in the core's cache, and two other locked
/// instructions a call. Tower's pair has to be cloned for each call to leave nothing behind, which
/// costs three times that.
#[derive(Debug, Clone)]
pub struct Limit<S> {
    inner: S,
    shared: Arc<Shared>,
}

/// What the limits of one layer share: the connections of a shard, so that what they count in it
/// stays in one core's cache.
#[derive(Debug)]
struct Shared {
    permits: Arc<Permits>,
    shedding: Dial<Shedding>,
}

/// One of the permits, given back when dropped.
#[derive(Debug)]
struct Permit(Arc<Shared>);

impl Shared {
    #[inline]
    fn try_acquire(self: &Arc<Self>) -> Option<Permit> {
        self.permits.try_take().then(|| Permit(self.clone()))
    }
}

impl Drop for Permit {
    #[inline]
    fn drop(&mut self) {
        self.0.permits.give_back();
    }
}

/// A place in line for a permit, given up when dropped.
#[derive(Debug)]
struct Turn {
    shared: Arc<Shared>,
    place: Option<usize>,
}

impl Turn {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Permit> {
        self.shared.permits.poll_take(&mut self.place, cx).map(|()| Permit(self.shared.clone()))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.shared.permits.leave(place);
        }
    }
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
        let state = match (self.shared.shedding.get(), self.shared.try_acquire()) {
            (Shedding::Always, _) | (Shedding::WhenBusy, None) => State::Shed,
            (_, Some(permit)) => {
                State::Called { future: self.inner.call(request), _permit: permit }
            }
            (Shedding::Never, None) => State::Waiting { waiting: Box::new(self.wait(request)) },
        };
        ResponseFuture { state }
    }
}

impl<S: Clone> Limit<S> {
    #[cold]
    fn wait<Request>(&mut self, request: Request) -> Waiting<S, Request> {
        // The clone was not asked for readiness; this one was.
        let next = self.inner.clone();
        Waiting {
            turn: Turn { shared: self.shared.clone(), place: None },
            service: std::mem::replace(&mut self.inner, next),
            request: Some(request),
        }
    }
}

/// A call that waits for a permit. Boxed, because few do and every call's future is moved.
struct Waiting<S, Request> {
    turn: Turn,
    service: S,
    request: Option<Request>,
}

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
        Called { #[pin] future: F, _permit: Permit },
        Waiting { waiting: Box<Waiting<S, Request>> },
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
            state.set(State::Called { future, _permit: permit });
        }
    }
}

impl<S, Request> StateProj<'_, S, Request, S::Future>
where
    S: Service<Request, Error = BoxError>,
{
    #[cold]
    fn poll_permit(self, cx: &mut Context<'_>) -> Poll<Result<(S::Future, Permit), BoxError>> {
        let Self::Waiting { waiting } = self else {
            return Poll::Ready(Err(Overloaded::new().into()));
        };
        let permit = ready!(waiting_for_readiness(|| waiting.turn.poll(cx)));
        let request = waiting.request.take().expect("a request is given to its service once");
        Poll::Ready(Ok((waiting.service.call(request), permit)))
    }
}

/// Makes a [`Limit`]. Those that its clones make are turned together.
#[derive(Debug, Clone)]
pub struct LimitLayer {
    shared: Arc<Shared>,
}

impl LimitLayer {
    /// A call takes one of `permits`, which other limits may share, and waits for it.
    pub fn new(permits: Arc<Permits>) -> Self {
        Self { shared: Arc::new(Shared { permits, shedding: Dial::new(Shedding::Never) }) }
    }

    /// Turns calls away as `shedding` says.
    #[must_use]
    pub fn shedding(self, shedding: Shedding) -> Self {
        self.set_shedding(shedding);
        self
    }

    /// Turns calls away as `shedding` says from now on, on open connections too.
    pub fn set_shedding(&self, shedding: Shedding) {
        self.shared.shedding.set(shedding);
    }
}

impl<S> Layer<S> for LimitLayer {
    type Service = Limit<S>;

    fn layer(&self, inner: S) -> Limit<S> {
        Limit { inner, shared: self.shared.clone() }
    }
}
