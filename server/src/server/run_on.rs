//! A listener in the caller's own runtime.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::net::TcpListener;
use towline_config::Settings;
use towline_host::raise_descriptor_limit;
use towline_middleware::drain::Watch;

use super::{Server, plan_of_one_process, served};
#[cfg(feature = "tls")]
use crate::tls::FileStamps;
use crate::{
    BatchService, BoundListener, Outcome, RunError, live_config::LiveConfig, serve::InRuntime,
};

/// Serves every connection of `listener` with a clone of `service`, in tasks of the runtime that polls it, with
/// the default framing, limits and deadlines, and without a heartbeat.
///
/// Runs for ever; drop it to stop accepting. The same as
/// `Server::builder().serve(service)`[`.run_on(listener)`](Server::run_on), which is the way to other settings,
/// to sessions and routers, and to other protocols. Changes nothing of the process, and no option of `listener`:
/// see [`configure_listener`](crate::configure_listener) for those that connections should inherit. For threads
/// of its own, metrics and a drain on signals use [`Server::run`].
///
/// ```no_run
/// use std::convert::Infallible;
/// use towline::{Lines, RunError, service_fn};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), towline::BoxError> {
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
/// towline::serve(listener, service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) })).await?;
/// # Ok(()) }
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
    Server::builder().serve(service).run_on(listener)
}

/// As [`serve`], and ends when `drain` signals, as [`Server::run_on_until`] does.
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
    Server::builder().serve(service).run_on_until(listener, drain)
}

impl Server {
    /// Serves the connections of `listener` in tasks of the runtime that polls the future, with the settings of
    /// the builder. Runs for ever; drop it to stop accepting, which leaves open connections to the runtime.
    ///
    /// Serves anything that [`run`](Self::run) serves, with every setting of the builder except these:
    /// [`threads`](crate::Builder::threads), the admin port and [`metrics`](crate::Builder::metrics) are
    /// refused, because there are none, and [`listen`](crate::Builder::listen) is ignored.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use towline::{Args, Close, Router, Server, protocol::Lf};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), towline::BoxError> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:9000").await?;
    /// let commands = Router::<Lf, u64>::new()
    ///     .command("NEXT", |count: &mut u64, _: Args<'_>| {
    ///         *count += 1;
    ///         *count
    ///     })
    ///     .command("QUIT", |_: &mut u64, _: Args<'_>| Close("bye"));
    /// Server::builder()
    ///     .idle_timeout(Duration::from_secs(300))
    ///     .configure_listener(true)
    ///     .router(commands, |_conn| 0)
    ///     .run_on(listener)
    ///     .await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When a setting is wrong or refused here, and when the listening socket fails. Errors of single
    /// connections, and a lack of descriptors or memory that may pass, do not end it.
    ///
    /// # Panics
    /// When the future is polled outside of a Tokio runtime, or in one whose I/O or time driver is not enabled.
    pub fn run_on(self, listener: impl Into<BoundListener>) -> Serving {
        self.serving(listener.into(), None)
    }

    /// As [`run_on`](Self::run_on), and drains when `drain` signals: accepts no more, answers every line that
    /// was taken, and returns when the last connection is closed, or has been cut at the deadline
    /// [`drain_timeout`](crate::Builder::drain_timeout).
    ///
    /// A connection whose service never awaits is cut when it next does.
    ///
    /// # Errors
    /// Those of [`run_on`](Self::run_on).
    ///
    /// # Panics
    /// When the future is polled outside of a Tokio runtime, or in one whose I/O or time driver is not enabled.
    pub fn run_on_until(self, listener: impl Into<BoundListener>, drain: Watch) -> Serving {
        self.serving(listener.into(), Some(drain))
    }

    fn serving(self, listener: BoundListener, drain: Option<Watch>) -> Serving {
        match self.prepare(listener, drain) {
            Ok(serving) => Serving(serving),
            Err(refused) => Serving(Box::pin(async { Err(refused) })),
        }
    }

    fn prepare(
        self,
        listener: BoundListener,
        drain: Option<Watch>,
    ) -> Result<ServingFuture, RunError> {
        let Self { mut builder, protocol, program } = self;
        let protocol = protocol.with_ping(builder.hooks.ping_words.get_ping())?;
        let effective = builder.take_settings(protocol)?;
        let settings = &effective.settings;
        check(settings)?;
        if builder.metrics.is_some() {
            return Err(no_admin_port("a function that renders metrics"));
        }
        if builder.listener.is_some() {
            return Err(RunError::usage(
                "a listener given to the builder is refused: the one given to run_on is served",
            ));
        }
        if builder.raise_descriptor_limit {
            raise_descriptor_limit();
        }
        let plan = plan_of_one_process(settings)?;
        let listener = served(listener, settings, builder.configure_listener)?;
        // Before they are read: what changes meanwhile has changed.
        #[cfg(feature = "tls")]
        let files = builder.hooks.watches_tls.then(|| FileStamps::of(&settings.tls));
        let (config, hooks) = (LiveConfig::with_tls(effective, &builder.hooks)?, builder.hooks);
        Ok(program.run(InRuntime {
            config,
            plan,
            listener,
            hooks,
            protocol,
            drain,
            #[cfg(feature = "tls")]
            files,
        }))
    }
}

/// Refuses what only a server with threads of its own has.
fn check(settings: &Settings) -> Result<(), RunError> {
    if let Some(address) = settings.server.admin {
        return Err(no_admin_port(&format!("server.admin = \"{address}\"")));
    }
    if let Some(path) = &settings.admin.socket {
        return Err(no_admin_port(&format!("admin.socket = \"{}\"", path.display())));
    }
    if let Some(age) = settings.timeouts.age {
        return Err(RunError::usage(format!(
            "timeouts.age = {age:?} is refused: a server in the program's runtime has no list of its \
             connections, so only off is accepted"
        )));
    }
    if settings.limits.has_source_rates() {
        return Err(RunError::usage(
            "limits.lines_per_ip and limits.bytes_per_ip are refused: a server in the program's runtime has no list of \
             its connections, so only off is accepted",
        ));
    }
    if let Some(threads) = settings.server.threads {
        return Err(RunError::usage(format!(
            "server.threads = {threads} is refused: connections run on the threads of the program's \
             runtime, so only auto is accepted"
        )));
    }
    Ok(())
}

fn no_admin_port(what: &str) -> RunError {
    RunError::usage(format!(
        "{what} is refused: a server in the program's runtime has no admin port; Server::start has one"
    ))
}

/// A listener being served, until it is drained.
pub(super) type ServingFuture = Pin<Box<dyn Future<Output = Result<Outcome, RunError>> + Send>>;

/// The future of [`Server::run_on`], [`Server::run_on_until`], [`serve`] and [`serve_until`]. Its type does not
/// depend on the service, so that the compiler checks a service once.
#[must_use = "a listener is served while the future is polled"]
pub struct Serving(ServingFuture);

impl Future for Serving {
    type Output = Result<Outcome, RunError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Serving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serving").finish_non_exhaustive()
    }
}
