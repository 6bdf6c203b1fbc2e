//! What a service must be to be served.

use std::{
    any::Any,
    future::Ready,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
};

use tower::Service;
use towline_middleware::{
    Batch, BoxError, IntoResponse, ReadyPerCall,
    protocol::{Lf, Protocol},
};

use crate::stack::FrameService;

/// A Tower service of batches: every `Service<Batch<P>, Response = Batch<P>>` whose error converts into
/// [`BoxError`] is one. It cannot be implemented otherwise. Without a protocol it is one of
/// [`Lines`](crate::Lines).
///
/// A function of single lines becomes one in [`each_line`](crate::each_line), a service of them in
/// [`EachLine`](crate::EachLine); an `async fn` becomes a service in [`service_fn`](crate::service_fn).
///
/// `Via` is inferred. It is for the compiler's messages: because there is a second way to be a
/// `BatchService`, though a closed one, a type that is none is reported as such, once and with what to
/// do, instead of the inner bound that it does not meet.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not serve batches of `{P}`",
    label = "expected a `Service<Batch<{P}>, Response = Batch<{P}>>`",
    note = "`Lines` is `Batch<Lf>`",
    note = "a function of single lines goes into `each_line(…)`, a service of them into `EachLine::new(…)`",
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

/// A [`BatchService`] as a Tower service whose errors are boxed and whose futures can be moved.
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

impl<S, Via, P> Service<Batch<P>> for Batched<S, Via>
where
    S: BatchService<Via, P> + 'static,
    Via: 'static,
    P: Protocol,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Called<S::Response, S::Future>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, batch: Batch<P>) -> Self::Future {
        let future = self.inner.call(batch);
        match taken::<_, Ready<Result<S::Response, S::Error>>>(future) {
            Ok(ready) => Called::Done(Some(ready.into_inner().map_err(Into::into))),
            Err(future) => Called::Boxed(Box::pin(future)),
        }
    }
}

/// Returns `value` as a `T` if it is one. The comparison of types happens at compile time.
fn taken<V: 'static, T: 'static>(value: V) -> Result<T, V> {
    let mut value = Some(value);
    match (&mut value as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take) {
        Some(taken) => Ok(taken),
        None => Err(value.expect("it is there unless it was taken")),
    }
}

/// The future of a [`Batched`] call. One that is a [`Ready`], as those of services that never wait are, needs no
/// box.
#[derive(Debug)]
enum Called<R, F> {
    Done(Option<Result<R, BoxError>>),
    Boxed(Pin<Box<F>>),
}

// Nothing in it is pinned in place.
impl<R, F> Unpin for Called<R, F> {}

impl<R, E, F> Future for Called<R, F>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Done(output) => Poll::Ready(output.take().expect("polled after it was done")),
            Self::Boxed(future) => future.as_mut().poll(cx).map_err(Into::into),
        }
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
    ReadyPerCall::new(Batched::new(service))
}
