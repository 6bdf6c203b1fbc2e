//! What a service must be to be served.

use std::{
    marker::PhantomData,
    task::{Context, Poll},
};

use tower::{Service, ServiceExt};
use towline_middleware::{
    Batch, BoxError, BoxFuture, IntoResponse, ReadyPerCall,
    protocol::{Lf, Protocol},
};

use crate::stack::FrameService;

/// A Tower service of batches: every `Service<Batch<P>, Response = Batch<P>>` whose error converts into
/// [`BoxError`] is one. It cannot be implemented otherwise. Without a protocol it is one of
/// [`Lines`](crate::Lines).
///
/// A service of single lines becomes one in [`EachLine`](crate::EachLine); an `async fn` becomes a
/// service in [`service_fn`](crate::service_fn).
///
/// `Via` is inferred. It is for the compiler's messages: because there is a second way to be a
/// `BatchService`, though a closed one, a type that is none is reported as such, once and with what to
/// do, instead of the inner bound that it does not meet.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve batches of `{P}`",
    label = "expected a `Service<Batch<{P}>, Response = Batch<{P}>>`",
    note = "`Lines` is `Batch<Lf>`",
    note = "a service of single lines goes into `EachLine::new(…)`",
    note = "an `async fn` goes into `service_fn(…)`: `service_fn(f)` if it takes `Lines`, `EachLine::new(service_fn(f))` if it takes a `Line`",
    note = "it returns a `Result`: of `Lines`, or in `EachLine` of anything that is `AsRef<[u8]>`; its error converts into `BoxError`"
)]
pub trait BatchService<Via, P: Protocol = Lf> {
    /// The service's response.
    #[doc(hidden)]
    type Response: IntoResponse<Protocol = P>;
    /// The service's error.
    #[doc(hidden)]
    type Error: Into<BoxError>;
    /// The service's future.
    #[doc(hidden)]
    type Future: Future<Output = Result<Self::Response, Self::Error>>;
    #[doc(hidden)]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>>;
    #[doc(hidden)]
    fn call(&mut self, batch: Batch<P>) -> Self::Future;
}

mod via {
    use super::{BatchService, Protocol};

    /// A `BatchService` by being a Tower service.
    #[derive(Debug)]
    pub enum Tower {}

    /// A `BatchService` by nothing: no type implements [`Closed`].
    #[derive(Debug)]
    pub enum Nothing {}

    /// Implemented by no type.
    pub trait Closed<P: Protocol>: BatchService<Tower, P> {}
}

impl<S, R, E, F, P> BatchService<via::Tower, P> for S
where
    S: Service<Batch<P>, Response = R, Error = E, Future = F>,
    R: IntoResponse<Protocol = P>,
    E: Into<BoxError>,
    F: Future<Output = Result<R, E>>,
    P: Protocol,
{
    type Response = R;
    type Error = E;
    type Future = F;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), E>> {
        Service::poll_ready(self, cx)
    }

    #[inline]
    fn call(&mut self, batch: Batch<P>) -> F {
        Service::call(self, batch)
    }
}

impl<S: via::Closed<P>, P: Protocol> BatchService<via::Nothing, P> for S {
    type Response = <S as BatchService<via::Tower, P>>::Response;
    type Error = <S as BatchService<via::Tower, P>>::Error;
    type Future = <S as BatchService<via::Tower, P>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        BatchService::<via::Tower, P>::poll_ready(self, cx)
    }

    fn call(&mut self, batch: Batch<P>) -> Self::Future {
        BatchService::<via::Tower, P>::call(self, batch)
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

impl<S: BatchService<Via, P>, Via, P: Protocol> Service<Batch<P>> for Batched<S, Via> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    #[inline]
    fn call(&mut self, batch: Batch<P>) -> S::Future {
        self.inner.call(batch)
    }
}

/// Makes any service of batches a [`FrameService`]: boxes its errors and its futures, and asks it for
/// readiness inside the call, where whatever it reserves ends with the batch it was for.
pub(crate) fn embedded<S, Via, P>(service: S) -> impl FrameService<P> + use<S, Via, P>
where
    S: BatchService<Via, P, Future: Send + 'static> + Clone + Send + 'static,
    Via: 'static,
    P: Protocol,
{
    ReadyPerCall::new(BoxFuture::new(Batched::new(service).map_err(Into::into)))
}
