//! A server: assembled, started, run.

mod program;
mod run_on;
#[cfg(feature = "test")]
mod stage;
mod start;

use std::{fmt, panic, thread};

use towline_config::Settings;
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
pub use self::{
    run_on::{Serving, serve, serve_until},
    start::{Parts, start},
};
use crate::{
    BoundListener, Builder, Outcome, RunError,
    accept::Listener,
    lifecycle::{Running, in_runtime, refuse_in_runtime},
    plan::{ProcessPlan, ProtocolRules},
    serve::{BatchService, embedded, responder},
    shard::{Peer, ServeBy},
    stack::{StackParts, line_stack},
};

/// A server: by [`run`](Self::run) or [`start`](Self::start) with threads of its own, one per core that serves
/// lines, one that accepts, and one for the admin port if it is on; by [`run_on`](Self::run_on) in the runtime of
/// the caller.
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
                let refused = RunError::usage(format!("the router is refused: {error}"));
                let protocol = ProtocolRules::of::<P>();
                return Self { builder, protocol, program: Box::new(Refused(refused)) };
            }
        };
        Self::of_session_makers(builder, move |stack| {
            let (routes, make) = (routes.counted_by(stack), make.clone());
            move |conn| make(conn).into_state().map(|state| routes.session(state))
        })
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
        Self { builder, protocol, program: Box::new(Services { per_shard, serve }) }
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
            move |peer: Peer| responder(peer.tell(|ends| stack.conn(ends)), &make, &stack)
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
        let protocol = protocol.with_ping(builder.hooks.ping_words.get_ping())?;
        let effective = builder.take_settings(protocol)?;
        let settings = &effective.settings;
        if builder.raise_descriptor_limit {
            raise_descriptor_limit();
        }
        let plan = plan_of_one_process(settings)?;
        let listeners = match builder.listener {
            None => Listener::open(settings, Vec::new(), 1)?,
            Some(listener) => vec![served(listener, settings, builder.configure_listener)?],
        };
        let (user_metrics, hooks) = (builder.metrics, builder.hooks);
        let parts = Parts { listeners, user_metrics, hooks, protocol };
        let running = program.start(&effective, &plan, parts)?;
        running.log_start(None);
        Ok(running)
    }
}

/// The plan of a server that runs in the process of its program.
fn plan_of_one_process(settings: &Settings) -> Result<ProcessPlan, RunError> {
    let plan = ProcessPlan::of(settings, HostLimits::read())?;
    if plan.processes > 1 {
        return Err(RunError::usage(format!(
            "server.processes = {} is refused: a library serves in its own process, so only 1 is \
             accepted",
            plan.processes
        )));
    }
    Ok(plan)
}

/// A listener that the program bound, to be served.
fn served(
    listener: BoundListener,
    settings: &Settings,
    configure: bool,
) -> Result<Listener, RunError> {
    listener
        .into_socket()
        .and_then(|socket| Listener::from_caller(socket, settings, configure))
        .map_err(|error| {
            RunError::failed("the listener given to the builder cannot be served", &error)
        })
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("builder", &self.builder).finish_non_exhaustive()
    }
}
