//! A server with threads of its own: assembled, started, run.

mod program;
#[cfg(feature = "test")]
mod stage;

use std::{fmt, panic, sync::Arc, thread};

use tokio::sync::{oneshot, watch};
use towline_config::Effective;
use towline_host::{HostLimits, raise_descriptor_limit};
use towline_middleware::{
    protocol::Protocol,
    reply::Commands,
    router::{IntoState, Router},
    session::{Conn, IntoSession, Session, SessionStack},
};

#[cfg(feature = "test")]
pub(crate) use self::program::Staged;
use self::program::{Program, Refused, Services};
use crate::{
    Builder, Outcome, RunError,
    accept::{Acceptor, AdmissionControl, Listener},
    admin::{self, UserMetrics},
    lifecycle::{Running, ServerState, Stage, in_runtime, refuse_in_runtime},
    live_config::LiveConfig,
    overload::{run_overload_control, watch_connection_limit},
    plan::{ProcessPlan, ProtocolRules},
    serve::{BatchService, embedded, responder},
    shard::{Peer, ServeBy, ServeSocket, ShardPool, serve_lines, threads},
    stack::{FrameService, StackParts, line_stack},
};

/// A line server with threads of its own: one per core that serves lines, one that accepts, and one
/// for the admin port if it is on.
///
/// ```no_run
/// use std::{convert::Infallible, time::Duration};
/// use towline::{EachLine, Line, RunError, Server, service_fn};
///
/// fn main() -> Result<(), RunError> {
///     let upper = service_fn(|line: Line| async move {
///         Ok::<_, Infallible>(line.to_ascii_uppercase())
///     });
///     Server::builder()
///         .listen("127.0.0.1:9000")
///         .idle_timeout(Duration::from_secs(300))
///         .serve(EachLine::new(upper))
///         .run()?;
///     Ok(())
/// }
/// ```
#[must_use = "a server does nothing until it is started or run"]
pub struct Server {
    builder: Builder,
    protocol: ProtocolRules,
    program: Box<dyn Program>,
}

/// What a server is started with, beside its settings.
#[derive(Debug)]
pub struct Parts {
    /// The listening socket, or several of one port.
    pub listeners: Vec<Listener>,
    /// Metrics of the program that the server is part of.
    pub user_metrics: Option<UserMetrics>,
}

impl Server {
    /// Collects the settings of a server.
    pub fn builder() -> Builder {
        Builder::new()
    }

    pub(crate) fn new<M, S, Via>(builder: Builder, make: M) -> Self
    where
        M: Fn(Peer) -> S + Clone + Send + 'static,
        S: BatchService<Via, Future: Send + 'static> + Clone + Send + 'static,
        Via: 'static,
    {
        let per_shard = move |stack: &StackParts| {
            let (stack, make) = (stack.clone(), make.clone());
            move |peer| line_stack(&stack, embedded(make(peer)))
        };
        Self::of(builder, per_shard, ServeBy::lines(), ProtocolRules::LINES)
    }

    fn of<F, M, S>(
        builder: Builder,
        per_shard: F,
        serve: ServeBy<S>,
        protocol: ProtocolRules,
    ) -> Self
    where
        F: Fn(&StackParts) -> M + Send + 'static,
        M: Fn(Peer) -> S + Send + 'static,
        S: 'static,
    {
        let program = Box::new(Services { per_shard, serve, protocol });
        Self { builder, protocol, program }
    }

    /// A server of another protocol than lines, or of lines without the choice of a framing.
    pub(crate) fn of_protocol<M, S, Via, P>(builder: Builder, make: M) -> Self
    where
        M: Fn(Peer) -> S + Clone + Send + 'static,
        S: BatchService<Via, P, Future: Send + 'static> + Clone + Send + 'static,
        Via: 'static,
        P: Protocol,
    {
        let per_shard = move |stack: &StackParts| {
            let (stack, make) = (stack.clone(), make.clone());
            move |peer| line_stack(&stack, embedded(make(peer)))
        };
        Self::of(builder, per_shard, ServeBy::frames::<P>(), ProtocolRules::of::<P>())
    }

    /// A server of sessions.
    pub(crate) fn of_sessions<M, R>(builder: Builder, make: M) -> Self
    where
        M: Fn(Conn<<R::Session as Session>::Protocol>) -> R + Clone + Send + 'static,
        R: IntoSession,
    {
        Self::of_session_makers(builder, move |_| make.clone())
    }

    /// A server of the sessions of a router.
    pub(crate) fn of_router<P, S, M, R>(builder: Builder, router: Router<P, S>, make: M) -> Self
    where
        P: Commands,
        S: Send + 'static,
        M: Fn(Conn<P>) -> R + Clone + Send + 'static,
        R: IntoState<S>,
    {
        let routes = match router.build() {
            Ok(routes) => routes,
            Err(error) => {
                let error = RunError::usage(format!("the router is refused: {error}"));
                let protocol = ProtocolRules::of::<P>();
                return Self { builder, protocol, program: Box::new(Refused(error)) };
            }
        };
        Self::of_session_makers(builder, move |stack| {
            let (routes, make) = (routes.counted_by(stack), make.clone());
            move |conn| make(conn).into_state().map(|state| routes.session(state))
        })
    }

    /// A server of the sessions that are made by what `per_shard` returns for each shard.
    fn of_session_makers<F, M, R>(builder: Builder, per_shard: F) -> Self
    where
        F: Fn(&SessionStack) -> M + Send + 'static,
        M: Fn(Conn<<R::Session as Session>::Protocol>) -> R + Send + 'static,
        R: IntoSession,
    {
        let per_shard = move |stack: &StackParts| {
            let stack = stack.sessions();
            let make = per_shard(&stack);
            move |peer: Peer| responder(Conn::new(peer.address()), &make, &stack)
        };
        let serve = ServeBy::frames::<<R::Session as Session>::Protocol>();
        let protocol = ProtocolRules::of::<<R::Session as Session>::Protocol>();
        Self::of(builder, per_shard, serve, protocol)
    }

    /// Binds and starts every thread; returns while they run. Works inside and outside of async code.
    ///
    /// # Errors
    /// When a setting is wrong, an address is taken, or the host does not allow what is asked.
    pub fn start(self) -> Result<Running, RunError> {
        if !in_runtime() {
            return self.start_here();
        }
        // Outside of the caller's runtime, whose clock may be paused.
        let starting = thread::Builder::new().name("start".into()).spawn(|| self.start_here());
        match starting.map(thread::JoinHandle::join) {
            Ok(Ok(started)) => started,
            Ok(Err(panicked)) => panic::resume_unwind(panicked),
            Err(error) => Err(RunError::failed("a thread cannot be started", &error)),
        }
    }

    /// Starts, serves until SIGTERM, SIGINT or SIGQUIT, and drains; a second signal cuts. Blocks
    /// until then; [`run_async`](Self::run_async) does the same in async code.
    ///
    /// Signal handlers stay installed for the life of the process.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), when the listening socket fails, and when the calling thread
    /// runs or has entered a Tokio runtime.
    pub fn run(self) -> Result<Outcome, RunError> {
        refuse_in_runtime("Server::run", "Server::run_async().await")?;
        self.start()?.run_until_signal(None, |_| {})
    }

    /// As [`run`](Self::run), as a future for any runtime. Dropping it cuts every connection.
    ///
    /// ```no_run
    /// # use std::convert::Infallible;
    /// # use towline::{Lines, RunError, Server, service_fn};
    /// #[tokio::main]
    /// async fn main() -> Result<(), RunError> {
    ///     let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    ///     Server::builder().listen("localhost:9000").serve(echo).run_async().await?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and when the listening socket fails.
    pub async fn run_async(self) -> Result<Outcome, RunError> {
        self.start()?.wait_for_signal().await
    }

    fn start_here(self) -> Result<Running, RunError> {
        let Self { mut builder, protocol, program } = self;
        let effective = builder.take_settings(protocol)?;
        let settings = &effective.settings;
        if builder.raise_descriptor_limit {
            raise_descriptor_limit();
        }
        let plan = ProcessPlan::of(settings, HostLimits::read())?;
        if plan.processes > 1 {
            return Err(RunError::usage(format!(
                "server.processes = {} is refused: a library serves in its own process, so only 1 \
                 is accepted",
                plan.processes
            )));
        }
        let listeners = match builder.listener {
            None => Listener::open(settings, None, 1)?,
            Some(listener) => {
                let socket = listener.into_socket();
                let listener = socket.and_then(|socket| {
                    Listener::from_caller(socket, settings, builder.configure_listener)
                });
                vec![listener.map_err(|error| {
                    RunError::failed("the listener given to the builder cannot be served", &error)
                })?]
            }
        };
        let parts = Parts { listeners, user_metrics: builder.metrics };
        let running = program.start(&effective, &plan, parts)?;
        running.log_start(None);
        Ok(running)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("builder", &self.builder).finish_non_exhaustive()
    }
}

/// Starts every thread of a server of lines, and returns once connections are accepted.
///
/// Calls `lines` once per shard; what it returns makes the line stack of each connection there.
pub fn start<M, S>(
    effective: &Effective,
    plan: &ProcessPlan,
    parts: Parts,
    lines: impl Fn(&StackParts) -> M,
) -> Result<Running, RunError>
where
    M: Fn(Peer) -> S + Send + 'static,
    S: FrameService,
{
    start_protocol(effective, plan, parts, lines, serve_lines, ProtocolRules::LINES)
}

/// As [`start`], for a protocol with these rules, whose sockets are served by `serve`.
fn start_protocol<M, S>(
    effective: &Effective,
    plan: &ProcessPlan,
    parts: Parts,
    per_shard: impl Fn(&StackParts) -> M,
    serve: ServeSocket<S>,
    protocol: ProtocolRules,
) -> Result<Running, RunError>
where
    M: Fn(Peer) -> S + Send + 'static,
    S: 'static,
{
    let Parts { listeners, user_metrics } = parts;
    let config = Arc::new(watch::channel(LiveConfig::first(effective.clone())).0);
    let settings = &effective.settings;
    let address = listeners[0].address().clone();
    let admin = settings.server.admin.map(admin::Socket::bind).transpose()?;
    let (shards, dispatch) = ShardPool::start(&config, plan, per_shard, serve)?;
    let slots = shards.state().slots.clone();
    let mut state = ServerState::new(*plan, config.clone(), &address, slots.clone());
    state.protocol = protocol;
    let state = Arc::new(state);

    let (stop_accepting, mut stop) = watch::channel(false);
    let (listener_fails, listener_failed) = oneshot::channel();
    let acceptor = Acceptor {
        listeners,
        admission: AdmissionControl::new(slots, &settings.limits),
        config: config.subscribe(),
        stats: state.accept.clone(),
        dispatch,
    };
    let ending = shards.until_cut();
    let pressure = run_overload_control(shards.state().clone());
    let watched = state.clone();
    let accepts = threads::run("acceptor", async move {
        let stopped = async {
            let _ = stop.wait_for(|stop| *stop).await;
        };
        // This thread has the least to do, and runs whatever is turned off.
        tokio::spawn(pressure);
        tokio::spawn(async move { watch_connection_limit(&watched).await });
        let ended = tokio::select! {
            ended = acceptor.run(stopped) => ended,
            () = ending => Ok(()),
        };
        if let Err(error) = ended {
            // The receiver is gone when the server is ending anyway.
            let _ = listener_fails.send(error);
        }
    })?;
    let mut threads = vec![accepts];

    let admin_address = admin.as_ref().map(admin::Socket::address);
    if let Some(socket) = admin {
        threads.push(socket.serve(state.clone(), &shards, user_metrics)?);
    }
    state.lifecycle.set(Stage::Accepting);
    let admin = admin_address;
    Ok(Running { state, shards, address, admin, stop_accepting, listener_failed, threads })
}
