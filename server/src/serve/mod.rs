//! One listener in the caller's own runtime.

mod batch_service;
mod session;

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use towline_config::Effective;
use towline_host::HostLimits;
use towline_middleware::{LinesBatchCodec, Semaphore, drain::Watch, stats::Stats};

pub use self::batch_service::BatchService;
pub(crate) use self::{batch_service::embedded, session::responder};
use crate::{
    accept::{Acceptor, AdmissionControl, ConnectionSlots, Dispatch, Listener, NewConnection},
    builder::library_defaults,
    live_config::LiveConfig,
    plan::ProcessPlan,
    shard::serve_io,
    stack::{FrameService, StackParts, line_stack},
};

/// Serves every connection of `listener` with a clone of `service`, in tasks of the runtime that
/// polls it, with the default framing, limits and deadlines, and without a heartbeat.
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

async fn run(listener: TcpListener, service: impl FrameService, drain: Watch) -> io::Result<()> {
    let config = LiveConfig::first(Effective::new(library_defaults(), "program"));
    let settings = &config.effective.settings;
    let plan = ProcessPlan::of(settings, HostLimits::read()).map_err(io::Error::other)?;
    let slots = ConnectionSlots::new(plan.connections, 1);
    // Not exported, and every thread of the runtime would write them with each line.
    let stats = Arc::new(Stats::uncounted(Instant::now()));
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

impl<S: FrameService> Dispatch for ToTasks<S> {
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
