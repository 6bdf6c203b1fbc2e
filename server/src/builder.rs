//! The library's way in.

use std::net::SocketAddr;

use tower::Service;
use towline_config::{Heartbeat, Key, Listen, Settings, Support, Timeouts};
use towline_host::{HostLimits, raise_descriptor_limit};
use towline_middleware::{BoxError, Lines};

use crate::{
    Outcome, RunError,
    lifecycle::control::programmatic,
    plan::Plan,
    server::{self, Running},
    shard::Peer,
    stack::{embedded, line_stack},
};

/// A line server with threads of its own.
///
/// ```no_run
/// use std::time::Duration;
/// use towline::{EachLine, Heartbeat, Line, Server, service_fn};
///
/// let upper = service_fn(|line: Line| async move {
///     Ok::<_, std::convert::Infallible>(line.to_ascii_uppercase())
/// });
/// Server::builder()
///     .listen("127.0.0.1:9000")
///     .heartbeat(Heartbeat::every(Duration::from_secs(30)))
///     .serve(EachLine::new(upper))
///     .run()?;
/// # Ok::<_, towline::RunError>(())
/// ```
#[derive(Debug)]
pub struct Server<M> {
    settings: Result<Settings, RunError>,
    make: M,
}

/// What is set before a service is given.
#[derive(Debug)]
pub struct Builder {
    settings: Result<Settings, RunError>,
}

impl Server<()> {
    /// Starts from the defaults, with no admin endpoint.
    pub fn builder() -> Builder {
        let mut settings = Settings::default();
        settings.server.admin = None;
        Builder { settings: Ok(settings) }
    }
}

impl Builder {
    /// Replaces every setting. Workload kind and digest are not looked at: the service decides.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = Ok(settings);
        self
    }

    /// Where lines are served: `HOST:PORT` with a numeric host, or `unix:/path`.
    #[must_use]
    pub fn listen(self, address: &str) -> Self {
        self.parse("listen", address, |settings, address| {
            settings.server.listen = match address.strip_prefix("unix:") {
                Some(path) => Listen::Unix(path.into()),
                None => Listen::Tcp(address.parse().ok()?),
            };
            Some(())
        })
    }

    /// Where metrics and health are served.
    #[must_use]
    pub fn admin(self, address: &str) -> Self {
        self.parse("admin", address, |settings, address| {
            settings.server.admin = Some(address.parse::<SocketAddr>().ok()?);
            Some(())
        })
    }

    /// How quiet peers are told from dead ones.
    #[must_use]
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.set(|settings| settings.heartbeat = heartbeat)
    }

    /// How long it waits for what.
    #[must_use]
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        self.set(|settings| settings.timeouts = timeouts)
    }

    /// Any other setting.
    #[must_use]
    pub fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        if let Ok(settings) = &mut self.settings {
            change(settings);
        }
        self
    }

    fn parse(
        mut self,
        what: &str,
        value: &str,
        set: impl FnOnce(&mut Settings, &str) -> Option<()>,
    ) -> Self {
        if let Ok(settings) = &mut self.settings
            && set(settings, value).is_none()
        {
            self.settings = Err(RunError::usage(format!(
                "{what} = \"{value}\" is no address, expected a numeric HOST:PORT"
            )));
        }
        self
    }

    /// Serves every batch of every connection with a clone of `service`. What connections share
    /// belongs in an `Arc` inside it.
    pub fn serve<S>(self, service: S) -> Server<impl Fn(Peer) -> S + Clone + Send + 'static>
    where
        S: Service<Lines, Response = Lines, Future: Send + 'static> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
    {
        self.serve_with(move |_peer| service.clone())
    }

    /// Serves each connection with a service made for its peer: how a protocol keeps session state.
    ///
    /// The service is cloned for each batch, as Tower's own servers do for each request, so the
    /// state belongs in an `Arc` made there.
    pub fn serve_with<M, S>(self, make: M) -> Server<M>
    where
        M: Fn(Peer) -> S + Clone + Send + 'static,
        S: Service<Lines, Response = Lines, Future: Send + 'static> + Clone + Send + Sync + 'static,
        S::Error: Into<BoxError>,
    {
        Server { settings: self.settings, make }
    }
}

impl<M, S> Server<M>
where
    M: Fn(Peer) -> S + Clone + Send + 'static,
    S: Service<Lines, Response = Lines, Future: Send + 'static> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
{
    /// Binds and starts every thread; returns while they run.
    ///
    /// # Errors
    /// When an address is wrong or taken, or the host does not allow what is asked.
    pub fn start(self) -> Result<Running, RunError> {
        let Self { settings, make } = self;
        let settings = settings?;
        refuse_what_is_not_built(&settings)?;
        raise_descriptor_limit();
        let plan = Plan::of(&settings, HostLimits::read())?;
        if plan.processes > 1 {
            return Err(RunError::usage(format!(
                "server.processes = {} is refused: a library serves in its own process, so only 1 \
                 is accepted",
                plan.processes
            )));
        }
        server::start(&programmatic(settings), &plan, None, |parts| {
            let (parts, make) = (parts.clone(), make.clone());
            move |peer| line_stack(&parts, embedded(make(peer)))
        })
    }

    /// Starts, serves until SIGTERM, SIGINT or SIGQUIT, and drains; a second signal cuts.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and when the listening socket fails.
    pub fn run(self) -> Result<Outcome, RunError> {
        self.start()?.run_until_signal(None, |_| {})
    }
}

/// Settings from files and flags come checked; a library's come as they are.
fn refuse_what_is_not_built(settings: &Settings) -> Result<(), RunError> {
    for key in Key::all() {
        let Support::Missing(reason) = key.support else { continue };
        let (value, default) = (key.value(settings), key.default());
        if value != default {
            let name = key.name;
            return Err(RunError::usage(format!(
                "{name} = {value} is refused: {reason}, so only {default} is accepted"
            )));
        }
    }
    Ok(())
}
