//! A bound on the calls that are served at once.

mod permit_cell;
mod semaphore;
mod sync;
mod wait_queue;

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

use self::permit_cell::Permit;
pub use self::semaphore::Semaphore;
use crate::{
    BoxError,
    live_setting::{AtomicRepr, LiveSetting},
    macros::service_accessors,
    thread_context::READINESS,
};

/// Which calls are shed: failed at once with Tower's [`Overloaded`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LoadShed {
    /// None: calls wait for a permit, in the order in which they came. The default.
    #[default]
    Off,
    /// Calls for which no permit is left.
    WhenFull,
    /// All, because something other than permits is short.
    Always,
}

impl AtomicRepr for LoadShed {
    fn to_bits(self) -> u64 {
        self as u64
    }

    fn from_bits(bits: u64) -> Self {
        match bits {
            0 => Self::Off,
            1 => Self::WhenFull,
            _ => Self::Always,
        }
    }
}

/// Tower's `ConcurrencyLimit` and `LoadShed` in one, which acquire the permit inside the call.
///
/// *Does*: acquires a permit for each call and releases it when the call's future is dropped; above the limit
/// lets calls wait, or sheds them. *Does not*: reserve anything before the call, so an idle connection holds no
/// permit and a shed call leaves no waiter behind. *Goes*: inside a [`Timeout`](crate::Timeout), so that the
/// wait counts. *Costs*: two reference counts and two other locked instructions a call, all of a cache line
/// that only this thread writes. Tower's pair has to be cloned for each call to leave nothing behind, which
/// costs three times that.
///
/// Works for any request. Its errors are those of the inner service, boxed, and [`Overloaded`]. Made by
/// [`ConcurrencyLimitLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit<S> {
    inner: S,
    shared: Arc<LimitState>,
}

impl<S> ConcurrencyLimit<S> {
    /// Lets in calls to `inner` that have a permit of `semaphore`.
    pub fn new(inner: S, semaphore: Arc<Semaphore>) -> Self {
        Self { inner, shared: Arc::new(LimitState::new(semaphore)) }
    }

    service_accessors!();
}

/// What the services of one layer share.
#[derive(Debug)]
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
struct LimitState {
    semaphore: Arc<Semaphore>,
    load_shed: LiveSetting<LoadShed>,
}

impl LimitState {
    fn new(semaphore: Arc<Semaphore>) -> Self {
        Self { semaphore, load_shed: LiveSetting::new(LoadShed::Off) }
    }
}

/// A wait for a permit, cancelled when dropped.
#[derive(Debug)]
struct Acquire {
    semaphore: Arc<Semaphore>,
    waiter: Option<usize>,
}

impl Acquire {
    fn poll(&mut self, cx: &Context<'_>) -> Poll<Permit> {
        self.semaphore.poll_acquire(&mut self.waiter, cx)
    }
}

impl Drop for Acquire {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter {
            self.semaphore.cancel(waiter);
        }
    }
}

impl<S, Request> Service<Request> for ConcurrencyLimit<S>
where
    S: Service<Request, Error: Into<BoxError>> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, Request>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Request) -> Self::Future {
        let state = match (self.shared.load_shed.load(), self.shared.semaphore.try_acquire()) {
            (LoadShed::Always, _) | (LoadShed::WhenFull, None) => State::Shed,
            (_, Some(permit)) => {
                State::Called { future: self.inner.call(request), _permit: permit }
            }
            (LoadShed::Off, None) => State::Waiting { waiting: Box::new(self.wait(request)) },
        };
        ResponseFuture { state }
    }
}

impl<S: Clone> ConcurrencyLimit<S> {
    #[cold]
    fn wait<Request>(&mut self, request: Request) -> Waiting<S, Request> {
        // The clone was not polled for readiness; the original was, so the call keeps that.
        let next = self.inner.clone();
        Waiting {
            acquire: Acquire { semaphore: self.shared.semaphore.clone(), waiter: None },
            service: std::mem::replace(&mut self.inner, next),
            request: Some(request),
        }
    }
}

/// A call that waits for a permit. Boxed, because few do and every call's future is moved.
struct Waiting<S, Request> {
    acquire: Acquire,
    service: S,
    request: Option<Request>,
}

pin_project! {
    /// Response future of [`ConcurrencyLimit`].
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
    S: Service<Request, Error: Into<BoxError>>,
{
    type Output = Result<S::Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let (future, permit) = match state.as_mut().project() {
                StateProj::Called { future, .. } => return future.poll(cx).map_err(Into::into),
                not_yet => ready!(not_yet.poll_permit(cx))?,
            };
            state.set(State::Called { future, _permit: permit });
        }
    }
}

impl<S, Request> StateProj<'_, S, Request, S::Future>
where
    S: Service<Request>,
{
    #[cold]
    fn poll_permit(self, cx: &mut Context<'_>) -> Poll<Result<(S::Future, Permit), BoxError>> {
        let Self::Waiting { waiting } = self else {
            return Poll::Ready(Err(Overloaded::new().into()));
        };
        let permit =
            ready!(READINESS.with(|readiness| readiness.poll(|| waiting.acquire.poll(cx))));
        let request = waiting.request.take().expect("a request is given to its service once");
        Poll::Ready(Ok((waiting.service.call(request), permit)))
    }
}

/// Layer for [`ConcurrencyLimit`]. Clones share the setting of [`LoadShed`]; layers that share a
/// [`Semaphore`] share its limit.
///
/// ```
/// use std::sync::Arc;
/// use tower::{Service, ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn};
/// use towline_middleware::{BoxError, ConcurrencyLimitLayer, LoadShed, Semaphore};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let semaphore = Arc::new(Semaphore::new(1));
/// let mut service = ServiceBuilder::new()
///     .layer(ConcurrencyLimitLayer::new(semaphore.clone()).load_shed(LoadShed::WhenFull))
///     .service(service_fn(|()| std::future::pending::<Result<(), BoxError>>()));
/// let running = service.ready().await.unwrap().call(());
/// assert_eq!(semaphore.in_use(), 1);
/// let error = service.clone().oneshot(()).await.unwrap_err();
/// assert!(error.is::<Overloaded>());
/// drop(running);
/// assert_eq!(semaphore.in_use(), 0);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ConcurrencyLimitLayer {
    shared: Arc<LimitState>,
}

impl ConcurrencyLimitLayer {
    /// Lets in calls that have a permit of `semaphore`.
    pub fn new(semaphore: Arc<Semaphore>) -> Self {
        Self { shared: Arc::new(LimitState::new(semaphore)) }
    }

    /// Sheds calls as `load_shed` says. Default: [`LoadShed::Off`].
    #[must_use]
    pub fn load_shed(self, load_shed: LoadShed) -> Self {
        self.set_load_shed(load_shed);
        self
    }

    /// Changes which calls to come are shed, on open connections too.
    pub fn set_load_shed(&self, load_shed: LoadShed) {
        self.shared.load_shed.store(load_shed);
    }
}

impl<S> Layer<S> for ConcurrencyLimitLayer {
    type Service = ConcurrencyLimit<S>;

    fn layer(&self, inner: S) -> ConcurrencyLimit<S> {
        ConcurrencyLimit { inner, shared: self.shared.clone() }
    }
}
