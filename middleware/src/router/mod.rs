//! Commands by their verbs: the session of most protocols.
//!
//! A [`Router`] is a table of commands. It is checked once, at start ([`Router::build`]), and is shared by all
//! connections ([`Routes`]); each connection is a [`Routed`] session, of the table and of state of its own.

mod command;
mod error;
mod handler;
mod hooks;
mod named_last;
mod overlap;
mod route;
mod routes;
mod split;
mod verbs;

use std::{fmt, sync::Arc};

use tower_service::Service;

pub use self::{
    command::Command,
    error::RouterError,
    handler::Handler,
    routes::{IntoState, Routed, Routes},
};
use self::{
    hooks::Hooks,
    named_last::Last,
    route::{Guard, Route},
    routes::{OTHER, Table},
    split::Split,
    verbs::Verbs,
};
use crate::{
    reply::{Args, Commands, IntoReply, ReplyError},
    session::{Cx, Overlap},
};

/// Commands by their verbs, and what surrounds them, for sessions with the state `S`.
///
/// *Does*: finds the handler of a frame's verb, in any case unless [`exact_case`](Self::exact_case); asks the
/// [guards](Self::before) in front of it; answers an unknown verb with an error. A frame without a verb, such
/// as an empty line, is answered with nothing. *Does not*: wait; a handler that must returns a
/// [`Deferred`](crate::session::Deferred), or is a [service](Self::service). *Costs*: one hash of the verb's
/// first 8 bytes and a call through a pointer a command, one more a guard; no allocation, unless a reply is
/// deferred: then two beside those of [`Deferred`](crate::session::Deferred).
///
/// ```
/// use std::collections::HashMap;
/// use towline_middleware::{
///     protocol::Lf,
///     reply::{Args, Close, ReplyError},
///     router::Router,
/// };
///
/// #[derive(Default)]
/// struct Store(HashMap<String, f64>);
///
/// fn set(store: &mut Store, args: Args<'_>) -> Result<&'static str, ReplyError> {
///     let (name, celsius): (&str, f64) = args.parse()?;
///     store.0.insert(name.to_owned(), celsius);
///     Ok("OK")
/// }
///
/// fn get(store: &mut Store, args: Args<'_>) -> Result<f64, ReplyError> {
///     let name: &str = args.parse()?;
///     store.0.get(name).copied().ok_or(ReplyError::new("no such name"))
/// }
///
/// # use towline_middleware::{BatchCodec, BoxError, drain::Watch, session::serve_session};
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// let routes = Router::<Lf, Store>::new()
///     .command("SET", set)
///     .command("GET", get)
///     .command("QUIT", |_: &mut Store, _: Args<'_>| Close("BYE"))
///     .build()?;
///
/// let (mut client, server) = tokio::io::duplex(1024);
/// client.write_all(b"SET a 21.5\nget a\nget b\nset a b\nhello\nQUIT\n").await?;
/// let session = routes.session(Store::default());
/// serve_session(server, BatchCodec::new(1024), session, Watch::never()).await?;
/// let mut said = String::new();
/// client.read_to_string(&mut said).await?;
/// assert_eq!(
///     said.lines().collect::<Vec<_>>(),
///     [
///         "OK",
///         "21.5",
///         "ERR no such name",
///         "ERR argument 2 is not a number",
///         "ERR unknown command 'hello'",
///         "BYE",
///     ],
/// );
/// # Ok(()) }
/// ```
#[must_use = "a router does nothing until it is built"]
pub struct Router<P: Commands, S> {
    verbs: Vec<&'static str>,
    routes: Vec<Route<P, S>>,
    fallback: Option<Route<P, S>>,
    /// In front of the next command.
    guards: Vec<Guard<P, S>>,
    last: Last,
    /// A setting of a command that has none in front of it.
    misplaced: Option<&'static str>,
    hooks: Hooks<P, S>,
    exact_case: bool,
    bogus_max: Option<u32>,
    overlap: Overlap,
    split: Option<Box<dyn Split<P>>>,
}

impl<P: Commands, S: Send + 'static> Router<P, S> {
    /// A router without commands.
    pub fn new() -> Self {
        Self {
            verbs: Vec::new(),
            routes: Vec::new(),
            fallback: None,
            guards: Vec::new(),
            last: Last::Nothing,
            misplaced: None,
            hooks: Hooks::default(),
            exact_case: false,
            bogus_max: None,
            overlap: Overlap::OFF,
            split: None,
        }
    }

    /// Answers the command `verb` by `handler`: a function, or a closure that names its arguments' types.
    ///
    /// A verb is 1 to 64 printable ASCII characters without spaces, and is named once; a router has at most
    /// 128. [`build`](Self::build) checks it.
    pub fn command<M>(mut self, verb: &'static str, handler: impl Handler<P, S, M>) -> Self {
        let route = Route::new(handler, &self.guards);
        self.verbs.push(verb);
        self.routes.push(route);
        self.last = Last::Command;
        self
    }

    /// Answers every verb that the router does not have. Default: the error `unknown command 'verb'`.
    pub fn fallback<M>(mut self, handler: impl Handler<P, S, M>) -> Self {
        self.fallback = Some(Route::new(handler, &self.guards));
        self.last = Last::Fallback;
        self
    }

    /// Answers the command `verb` by a Tower service: the place for Tower's layers around one command.
    ///
    /// *Does*: calls a clone of `service` that it first asks for readiness, and defers the reply. *Costs*: a
    /// copy of the command and of the service, and the allocations of a deferred reply.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use tower::{ServiceBuilder, service_fn};
    /// use towline_middleware::{protocol::Lf, router::{Command, Router, RouterError}};
    ///
    /// async fn render(command: Command<Lf>) -> Result<String, Infallible> {
    ///     Ok(command.args().iter().map(|word| word.escape_ascii().to_string()).collect())
    /// }
    ///
    /// # fn main() -> Result<(), RouterError> {
    /// // At most eight at a time, of all connections.
    /// let render = ServiceBuilder::new().concurrency_limit(8).service(service_fn(render));
    /// let routes = Router::<Lf, ()>::new().service("RENDER", render).build()?;
    /// # let _ = routes; Ok(()) }
    /// ```
    pub fn service<V>(self, verb: &'static str, service: V) -> Self
    where
        V: Service<Command<P>> + Clone + Send + Sync + 'static,
        V::Response: IntoReply<P, S> + Send + 'static,
        V::Error: Into<ReplyError>,
        V::Future: Send + 'static,
    {
        self.command(verb, command::handler::<P, S, V>(service))
    }

    /// Asks `guard` before each command that is named after it, in this [group](Self::group). The first guard
    /// that returns an error answers the command with it; the guards behind it and the handler are not called.
    pub fn before<G>(mut self, guard: G) -> Self
    where
        G: Fn(&mut S, Args<'_>, &mut Cx<'_, P>) -> Result<(), ReplyError> + Send + Sync + 'static,
    {
        self.guards.push(Arc::new(guard));
        self
    }

    /// Names the commands of `build`, whose guards end with it.
    ///
    /// ```
    /// use towline_middleware::{protocol::Lf, reply::{Args, ReplyError}, router::Router, session::Cx};
    ///
    /// #[derive(Default)]
    /// struct Guest {
    ///     name: Option<String>,
    /// }
    ///
    /// fn has_a_name(guest: &mut Guest, _: Args<'_>, _: &mut Cx<'_, Lf>) -> Result<(), ReplyError> {
    ///     guest.name.is_some().then_some(()).ok_or(ReplyError::new("say NICK first"))
    /// }
    ///
    /// fn nick(guest: &mut Guest, args: Args<'_>) -> Result<&'static str, ReplyError> {
    ///     guest.name = Some(args.parse::<&str>()?.to_owned());
    ///     Ok("OK")
    /// }
    ///
    /// let router = Router::<Lf, Guest>::new()
    ///     .group(|named| {
    ///         named.before(has_a_name).command("WHOAMI", |guest: &mut Guest, _: Args<'_>| guest.name.clone())
    ///     })
    ///     .command("NICK", nick);
    /// # drop(router);
    /// ```
    pub fn group(self, build: impl FnOnce(Self) -> Self) -> Self {
        let guards = self.guards.len();
        let mut built = build(self);
        built.guards.truncate(guards);
        built
    }

    /// Tells `get` and `GET` apart. Default: verbs are the same in any case of ASCII letters.
    pub fn exact_case(mut self) -> Self {
        self.exact_case = true;
        self
    }

    /// Ends a connection at the unknown verb behind `per_connection` unknown ones, with an error as its last
    /// words. Default: no limit.
    pub fn bogus_max(mut self, per_connection: u32) -> Self {
        self.bogus_max = Some(per_connection);
        self
    }

    /// Checks the table, and makes it one that connections share.
    ///
    /// # Errors
    /// If a verb is invalid or named twice, there are more than 128, or [`within`](Self::within) or
    /// [`timed`](Self::timed) has no command in front of it. The error names the verb, or the setting.
    pub fn build(self) -> Result<Routes<P, S>, RouterError> {
        if let Some(setting) = self.misplaced {
            return Err(RouterError::NothingBefore(setting));
        }
        let verbs = Verbs::new(&self.verbs, self.exact_case)?;
        let Self { routes, fallback, hooks, bogus_max, overlap, split, .. } = self;
        let other = verbs.iter().position(|verb| verb == OTHER).unwrap_or(routes.len());
        let routes = routes.into();
        Ok(Routes::new(Table { verbs, routes, fallback, hooks, other, bogus_max, overlap, split }))
    }
}

impl<P: Commands, S: Send + 'static> Default for Router<P, S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P: Commands, S> fmt::Debug for Router<P, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("verbs", &self.verbs).finish_non_exhaustive()
    }
}
