//! One listener in the caller's own runtime.

use std::{io, sync::Arc};

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use tower::Service;
use towline_config::Effective;
use towline_host::HostLimits;
use towline_middleware::{BoxError, Lines, LinesBatchCodec, Semaphore, drain::Watch, stats::Stats};

use crate::{
    accept::{Acceptor, AdmissionControl, ConnectionSlots, Dispatch, Listener, NewConnection},
    live_config::LiveConfig,
    plan::Plan,
    shard::serve_io,
    stack::{LineService, StackParts, embedded, line_stack},
};

/// Serves every connection of `listener` with a clone of `service`, in tasks of the runtime that
/// polls it, with the default framing, limits, heartbeat and deadlines.
///
/// Runs for ever; drop it to stop accepting. For threads of its own, metrics and a drain on signals
/// use [`Server`](crate::Server).
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
pub async fn serve<S>(listener: TcpListener, service: S) -> io::Result<()>
where
    S: Service<Lines, Response = Lines, Future: Send + 'static> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
{
    serve_until(listener, service, Watch::never()).await
}

/// Like [`serve`], and ends when `drain` tells: stops accepting at once and returns when the last
/// connection has finished the lines it took.
///
/// Connections finish by themselves or at their deadlines; for a bound over all of them drop the
/// future, which does not cut them, or end the runtime, which does.
///
/// # Errors
/// When the listening socket fails.
pub async fn serve_until<S>(listener: TcpListener, service: S, drain: Watch) -> io::Result<()>
where
    S: Service<Lines, Response = Lines, Future: Send + 'static> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
{
    let config = LiveConfig::first(Effective::default());
    let settings = &config.effective.settings;
    let plan = Plan::of(settings, HostLimits::read()).map_err(io::Error::other)?;
    let slots = ConnectionSlots::new(plan.connections, 1);
    let stats = Arc::new(Stats::new(Instant::now()));
    let permits = Arc::new(Semaphore::new(settings.limits.concurrency.get() as usize));
    let parts = StackParts::new(&config, 1, stats, permits, drain.clone());
    let watchdog = parts.run_watchdog();
    // Nobody changes it.
    let (_, config) = watch::channel(config.clone());
    let acceptor = Acceptor {
        listeners: vec![Listener::from_std(listener.into_std()?, settings)?],
        admission: AdmissionControl::new(slots.clone(), &settings.limits),
        config,
        stats: Arc::default(),
        dispatch: ToTasks { parts, service: embedded(service) },
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

/// Delivers to tasks of the runtime it runs in.
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
