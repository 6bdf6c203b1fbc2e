//! Batches turned away, when and as long as somebody says so.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use pin_project_lite::pin_project;
use tower::load_shed::error::Overloaded;
use tower_layer::Layer;
use tower_service::Service;

use crate::{BoxError, Dial, Position};

/// Which batches are turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shedding {
    /// None: they wait until the inner service is ready.
    Never,
    /// Those for which the inner service is not ready.
    WhenBusy,
    /// All, because something else than the inner service is short.
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

/// Tower's `LoadShed` with a dial: fails with Tower's own [`Overloaded`] what it does not let in.
///
/// *Does*: as the dial stands when a batch comes. *Does not*: bound anything itself. *Goes*: inside
/// [`ReadyInCall`](crate::ReadyInCall), around `ConcurrencyLimit`. *Costs*: a load and a branch a
/// batch. Tower's is either in a stack or not, and open connections keep their stacks.
#[derive(Debug)]
pub struct Shed<S> {
    inner: S,
    shedding: Arc<Dial<Shedding>>,
    lets_in: bool,
}

// By hand: readiness was promised to the original, not to its clone.
impl<S: Clone> Clone for Shed<S> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), shedding: self.shedding.clone(), lets_in: false }
    }
}

impl<S, Request> Service<Request> for Shed<S>
where
    S: Service<Request, Error: Into<BoxError>>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let shedding = self.shedding.get();
        self.lets_in = shedding != Shedding::Always
            && match self.inner.poll_ready(cx).map_err(Into::into)? {
                Poll::Ready(()) => true,
                Poll::Pending if shedding == Shedding::WhenBusy => false,
                Poll::Pending => return Poll::Pending,
            };
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let lets_in = std::mem::take(&mut self.lets_in);
        ResponseFuture { called: lets_in.then(|| self.inner.call(request)) }
    }
}

pin_project! {
    /// Response of [`Shed`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        called: Option<F>,
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
        match self.project().called.as_pin_mut() {
            Some(called) => called.poll(cx).map_err(Into::into),
            None => Poll::Ready(Err(Overloaded::new().into())),
        }
    }
}

/// Makes a [`Shed`].
#[derive(Debug, Clone)]
pub struct ShedLayer {
    shedding: Arc<Dial<Shedding>>,
}

impl ShedLayer {
    /// Turns batches away as `shedding` stands.
    pub const fn shared(shedding: Arc<Dial<Shedding>>) -> Self {
        Self { shedding }
    }
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Shed<S> {
        Shed { inner, shedding: self.shedding.clone(), lets_in: false }
    }
}
