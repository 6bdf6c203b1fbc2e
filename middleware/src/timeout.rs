//! A timeout that costs nothing unless a call waits.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    task::coop::unconstrained,
    time::{Sleep, sleep},
};
use tower::timeout::error::Elapsed;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    BoxError,
    live_setting::{LiveSetting, RawSetting},
    macros::service_accessors,
};

/// Tower's [`Timeout`](tower::timeout::Timeout), except that the timer is made when a call first waits,
/// and that the timeout can change while connections are open.
///
/// *Does*: fails a call with Tower's own [`Elapsed`] if it is not done this long after it first returned
/// `Pending`, also a call that uses up its task's budget at every poll, around which Tower's never fires.
/// *Does not*: interrupt a computation that never awaits, nor count what a call computes before its first
/// wait; Tower's polls the call first too, so it does neither. *Goes*: outside
/// [`ConcurrencyLimit`](crate::ConcurrencyLimit), so that the wait for a permit counts. *Costs*: a branch
/// for a call that does not wait. Tower's makes and drops a `Sleep` in every call, which reads the clock:
/// a tenth of what serving a line costs in ping-pong, where almost every call is done at once.
///
/// Works for any request. Made by [`TimeoutLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct Timeout<S> {
    inner: S,
    timeout: Arc<TimeoutState>,
}

/// What the services of one layer share.
#[derive(Debug)]
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
struct TimeoutState(LiveSetting<Option<Duration>>);

impl<S> Timeout<S> {
    /// Fails calls of `inner` that wait longer than `timeout`; with `None` none.
    pub fn new(inner: S, timeout: impl Into<Option<Duration>>) -> Self {
        Self { inner, timeout: Arc::new(TimeoutState(LiveSetting::new(timeout.into()))) }
    }

    service_accessors!();
}

impl<S, Request> Service<Request> for Timeout<S>
where
    S: Service<Request, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        ResponseFuture {
            inner: self.inner.call(request),
            timeout: self.timeout.0.load_raw(),
            timer: None,
        }
    }
}

pin_project! {
    /// Response future of [`Timeout`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        timeout: RawSetting<Option<Duration>>,
        // Boxed, because few calls need it and every call's future is moved.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F, Response, Error> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response, Error>>,
    Error: Into<BoxError>,
{
    type Output = Result<Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.inner.poll(cx) {
            return Poll::Ready(output.map_err(Into::into));
        }
        let Some(timeout) = this.timeout.decode() else { return Poll::Pending };
        poll_timer(this.timer, timeout, cx).map(|()| Err(Elapsed::new().into()))
    }
}

#[cold]
fn poll_timer(
    timer: &mut Option<Pin<Box<Sleep>>>,
    timeout: Duration,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep(timeout))).as_mut();
    // A call that used up its task's budget would otherwise keep the timer pending at every poll: a
    // `Sleep` asks for budget before it looks at the time.
    pin!(unconstrained(timer)).poll(cx)
}

/// Layer for [`Timeout`]. Clones share the timeout: changing it through one changes it for the services
/// built from any.
///
/// ```
/// use std::time::Duration;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
/// use towline_middleware::{BoxError, TimeoutLayer};
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let hangs = service_fn(|()| std::future::pending::<Result<(), BoxError>>());
/// let service = ServiceBuilder::new().layer(TimeoutLayer::new(Duration::from_secs(5))).service(hangs);
/// let error = service.oneshot(()).await.unwrap_err();
/// assert!(error.is::<tower::timeout::error::Elapsed>());
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct TimeoutLayer {
    timeout: Arc<TimeoutState>,
}

impl TimeoutLayer {
    /// Fails calls that wait longer than `timeout`; with `None` none.
    pub fn new(timeout: impl Into<Option<Duration>>) -> Self {
        Self { timeout: Arc::new(TimeoutState(LiveSetting::new(timeout.into()))) }
    }

    /// Changes the timeout of calls to come, on open connections too.
    pub fn set_timeout(&self, timeout: Option<Duration>) {
        self.timeout.0.store(timeout);
    }
}

impl<S> Layer<S> for TimeoutLayer {
    type Service = Timeout<S>;

    fn layer(&self, inner: S) -> Timeout<S> {
        Timeout { inner, timeout: self.timeout.clone() }
    }
}
