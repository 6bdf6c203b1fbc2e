//! What a service must be to be served.

use std::{
    marker::PhantomData,
    task::{Context, Poll},
};

use tower::{Service, ServiceExt};
use towline_middleware::{BoxError, BoxFuture, Lines, ReadyPerCall};

use crate::stack::LineService;

/// A Tower service of batches: every `Service<Lines, Response = Lines>` whose error converts into
/// [`BoxError`] is one. It cannot be implemented otherwise.
///
/// A service of single lines becomes one in [`EachLine`](crate::EachLine); an `async fn` becomes a
/// service in [`service_fn`](crate::service_fn).
///
/// `Via` is inferred. It is for the compiler's messages: because there is a second way to be a
/// `BatchService`, though a closed one, a type that is none is reported as such, once and with what to
/// do, instead of the inner bound that it does not meet.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve lines",
    label = "expected a `Service<Lines, Response = Lines>`",
    note = "a service of single lines goes into `EachLine::new(…)`",
    note = "an `async fn` goes into `service_fn(…)`: `service_fn(f)` if it takes `Lines`, `EachLine::new(service_fn(f))` if it takes a `Line`",
    note = "it returns a `Result`: of `Lines`, or in `EachLine` of anything that is `AsRef<[u8]>`; its error converts into `BoxError`"
)]
pub trait BatchService<Via> {
    /// The service's error.
    #[doc(hidden)]
    type Error: Into<BoxError>;
    /// The service's future.
    #[doc(hidden)]
    type Future: Future<Output = Result<Lines, Self::Error>>;
    #[doc(hidden)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;
    #[doc(hidden)]
    fn call(&mut self, lines: Lines) -> Self::Future;
}

mod via {
    use super::BatchService;

    /// A `BatchService` by being a Tower service.
    #[derive(Debug)]
    pub enum Tower {}

    /// A `BatchService` by nothing: no type implements [`Closed`].
    #[derive(Debug)]
    pub enum Nothing {}

    /// Implemented by no type.
    pub trait Closed: BatchService<Tower> {}
}

impl<S, E, F> BatchService<via::Tower> for S
where
    S: Service<Lines, Response = Lines, Error = E, Future = F>,
    E: Into<BoxError>,
    F: Future<Output = Result<Lines, E>>,
{
    type Error = E;
    type Future = F;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Service::poll_ready(self, cx)
    }

    #[inline]
    fn call(&mut self, lines: Lines) -> F {
        Service::call(self, lines)
    }
}

impl<S: via::Closed> BatchService<via::Nothing> for S {
    type Error = <S as BatchService<via::Tower>>::Error;
    type Future = <S as BatchService<via::Tower>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        BatchService::<via::Tower>::poll_ready(self, cx)
    }

    fn call(&mut self, lines: Lines) -> Self::Future {
        BatchService::<via::Tower>::call(self, lines)
    }
}

/// A [`BatchService`] as the Tower service that it is.
#[derive(Debug)]
struct Batched<S, Via> {
    inner: S,
    via: PhantomData<fn() -> Via>,
}

impl<S, Via> Batched<S, Via> {
    const fn new(inner: S) -> Self {
        Self { inner, via: PhantomData }
    }
}

// By hand: a derived one would demand a `Via` that can be cloned.
impl<S: Clone, Via> Clone for Batched<S, Via> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone())
    }
}

impl<S: BatchService<Via>, Via> Service<Lines> for Batched<S, Via> {
    type Response = Lines;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, lines: Lines) -> S::Future {
        self.inner.call(lines)
    }
}

/// Makes any service of batches a [`LineService`]: boxes its errors and its futures, and asks it for
/// readiness inside the call, where whatever it reserves ends with the batch it was for.
pub(crate) fn embedded<S, Via>(service: S) -> impl LineService + use<S, Via>
where
    S: BatchService<Via, Future: Send + 'static> + Clone + Send + 'static,
    Via: 'static,
{
    ReadyPerCall::new(BoxFuture::new(Batched::new(service).map_err(Into::into)))
}
