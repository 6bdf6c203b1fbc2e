//! One listener in the caller's own runtime, and what a service must be to be served.

use std::{
    fmt, io,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use tower::{Service, ServiceExt};
use towline_config::Effective;
use towline_host::HostLimits;
use towline_middleware::{
    BoxError, BoxFuture, Lines, LinesBatchCodec, ReadyPerCall, Semaphore, drain::Watch,
    stats::Stats,
};

use crate::{
    accept::{Acceptor, AdmissionControl, ConnectionSlots, Dispatch, Listener, NewConnection},
    live_config::LiveConfig,
    plan::ProcessPlan,
    shard::serve_io,
    stack::{LineService, StackParts, line_stack},
};

/// A Tower service of batches: every `Service<Lines, Response = Lines>` whose error converts into
/// [`BoxError`] is one. It cannot be implemented otherwise.
///
/// A service of single lines becomes one in [`EachLine`](crate::EachLine); an `async fn` becomes a
/// service in [`service_fn`](crate::service_fn). `Via` is inferred. It is there for the compiler's
/// messages: with two ways to be a `BatchService`, of which one is closed, they say that a type is
/// none and what to do, and not what a distant bound expected.
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
pub(crate) struct Batched<S, Via> {
    inner: S,
    via: PhantomData<fn() -> Via>,
}

impl<S, Via> Batched<S, Via> {
    pub(crate) const fn new(inner: S) -> Self {
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

/// Serves every connection of `listener` with a clone of `service`, in tasks of the runtime that
/// polls it, with the default framing, limits, heartbeat and deadlines.
///
/// Runs for ever; drop it to stop accepting. Changes nothing of the process, and no option of
/// `listener`: see [`configure_listener`](crate::configure_listener) for those that connections
/// should inherit. For threads of its own, other settings, metrics and a drain on signals use
/// [`Server`](crate::Server).
///
/// ```no_run
/// use std::convert::Infallible;
/// use towline::{Lines, service_fn};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
/// towline::serve(listener, service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) })).await
/// # }
/// ```
///
/// # Errors
/// When the listening socket fails. Errors of single connections, and a lack of descriptors or
/// memory that may pass, do not end it.
///
/// # Panics
/// When it is polled outside of a Tokio runtime, or in one whose I/O or time driver is not enabled.
pub fn serve<S, Via>(listener: TcpListener, service: S) -> Serving
where
    S: BatchService<Via, Future: Send + 'static> + Clone + Send + 'static,
    Via: 'static,
{
    serve_until(listener, service, Watch::never())
}

/// As [`serve`], and ends when `drain` does: stops accepting at once and returns when the last
/// connection has finished the lines it took.
///
/// Connections finish by themselves or at their deadlines; for a bound over all of them drop the
/// future, which does not cut them, or end the runtime, which does.
///
/// # Errors
/// When the listening socket fails.
///
/// # Panics
/// When it is polled outside of a Tokio runtime, or in one whose I/O or time driver is not enabled.
pub fn serve_until<S, Via>(listener: TcpListener, service: S, drain: Watch) -> Serving
where
    S: BatchService<Via, Future: Send + 'static> + Clone + Send + 'static,
    Via: 'static,
{
    Serving(Box::pin(run(listener, embedded(service), drain)))
}

/// The future of [`serve`] and [`serve_until`]. Its type does not depend on the service, so that the
/// compiler checks a service once.
#[must_use = "a listener is served while the future is polled"]
pub struct Serving(Pin<Box<dyn Future<Output = io::Result<()>> + Send>>);

impl Future for Serving {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}

async fn run(listener: TcpListener, service: impl LineService, drain: Watch) -> io::Result<()> {
    let config = LiveConfig::first(Effective::default());
    let settings = &config.effective.settings;
    let plan = ProcessPlan::of(settings, HostLimits::read()).map_err(io::Error::other)?;
    let slots = ConnectionSlots::new(plan.connections, 1);
    let stats = Arc::new(Stats::new(Instant::now()));
    let permits = Arc::new(Semaphore::new(settings.limits.concurrency.get() as usize));
    let parts = StackParts::new(&config, 1, stats, permits, drain.clone());
    let watchdog = parts.run_watchdog();
    let listener = Listener::from_caller(listener.into_std()?.into(), settings, false)?;
    tracing::info!(address = %listener.address(), connections_limit = plan.connections, "serving");
    // The sender is gone: the configuration stays as it is.
    let (_, config) = watch::channel(config.clone());
    let acceptor = Acceptor {
        listeners: vec![listener],
        admission: AdmissionControl::new(slots.clone(), &settings.limits),
        config,
        stats: Arc::default(),
        dispatch: ToTasks { parts, service },
    };
    let served = async {
        acceptor.run(drain.draining()).await?;
        slots.all_free().await;
        Ok(())
    };
    tokio::select! {
        served = served => served,
        () = watchdog => Ok(()),
    }
}

/// Dispatches to tasks of the runtime it runs in.
struct ToTasks<S> {
    parts: StackParts,
    service: S,
}

impl<S: LineService> Dispatch for ToTasks<S> {
    fn ready(&mut self) -> impl Future<Output = ()> + Send {
        std::future::ready(())
    }

    fn has_room(&self, _shard: usize) -> bool {
        true
    }

    fn dispatch(&mut self, NewConnection { accepted, slot }: NewConnection) {
        let socket = std::net::TcpStream::from(accepted.socket);
        let lines = line_stack(&self.parts, self.service.clone());
        serve_io(&self.parts, LinesBatchCodec::shared, TcpStream::from_std(socket), slot, lines);
    }
}
