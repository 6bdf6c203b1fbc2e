//! What is served: a service, one of another protocol, or sessions.

use towline_middleware::{
    protocol::Protocol,
    reply::Commands,
    router::{IntoState, Router},
    session::{Conn, IntoSession, Session},
};

use super::{Builder, ProtocolBuilder};
use crate::{serve::BatchService, server::Server, shard::Peer};

impl Builder {
    /// Serves another protocol than lines. What follows gives it a service of its batches. A router and sessions
    /// name their protocol themselves: they are given to the builder without it.
    ///
    /// Default: lines.
    pub fn protocol<P: Protocol>(self) -> ProtocolBuilder<P> {
        ProtocolBuilder::new(self)
    }

    /// Serves every connection with the [`Session`] that `make` makes for it, or refuses it.
    ///
    /// `make` runs on the thread of the connection's shard. What sessions share belongs in an `Arc`. The
    /// protocol is the session's: without a word for a ping there is no heartbeat.
    ///
    /// ```no_run
    /// use towline::{ActionOf, Cx, FrameOf, RunError, Server, Session, protocol::Lf};
    ///
    /// /// Numbers the lines of its connection.
    /// struct Number(u64);
    ///
    /// impl Session for Number {
    ///     type Protocol = Lf;
    ///
    ///     fn on_frame(&mut self, line: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
    ///         self.0 += 1;
    ///         cx.reply(format_args!("{} {}", self.0, String::from_utf8_lossy(line)))
    ///     }
    /// }
    ///
    /// fn main() -> Result<(), RunError> {
    ///     Server::builder().listen("localhost:9000").sessions(|_conn| Number(0)).run()?;
    ///     Ok(())
    /// }
    /// ```
    pub fn sessions<M, R>(self, make: M) -> Server
    where
        M: Fn(Conn<<R::Session as Session>::Protocol>) -> R + Clone + Send + 'static,
        R: IntoSession,
    {
        Server::of_sessions(self, make)
    }

    /// Serves every connection with the commands of `router`, and the state that `make` makes for it, or refuses
    /// it.
    ///
    /// As [`sessions`](Self::sessions) in everything else.
    ///
    /// ```no_run
    /// use towline::{Args, Close, ReplyError, Router, RunError, Server, protocol::Lf};
    ///
    /// #[derive(Default)]
    /// struct Sum(f64);
    ///
    /// fn add(sum: &mut Sum, args: Args<'_>) -> Result<f64, ReplyError> {
    ///     let number: f64 = args.parse()?;
    ///     sum.0 += number;
    ///     Ok(sum.0)
    /// }
    ///
    /// fn main() -> Result<(), RunError> {
    ///     let commands = Router::<Lf, Sum>::new()
    ///         .command("ADD", add)
    ///         .command("QUIT", |_: &mut Sum, _: Args<'_>| Close("bye"));
    ///     Server::builder().listen("localhost:9000").router(commands, |_conn| Sum::default()).run()?;
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// Of [`Server::start`]: a [`RouterError`](crate::middleware::router::RouterError), such as a command that is
    /// named twice.
    pub fn router<P, S, M, R>(self, router: Router<P, S>, make: M) -> Server
    where
        P: Commands,
        S: Send + 'static,
        M: Fn(Conn<P>) -> R + Clone + Send + 'static,
        R: IntoState<S>,
    {
        Server::of_router(self, router, make)
    }

    /// Serves every batch of every connection with a clone of `service`. What connections share
    /// belongs in an `Arc` inside it.
    pub fn serve<S, Via>(self, service: S) -> Server
    where
        S: BatchService<Via, Future: Send + 'static> + Clone + Send + 'static,
        Via: 'static,
    {
        self.serve_with(move |_peer| service.clone())
    }

    /// Serves each connection with a service that `make` makes for its peer: how a protocol keeps
    /// session state.
    ///
    /// The service is cloned for each batch, as Tower's own servers do for each request, so the
    /// state belongs in an `Arc` made there.
    pub fn serve_with<M, S, Via>(self, make: M) -> Server
    where
        M: Fn(Peer) -> S + Clone + Send + 'static,
        S: BatchService<Via, Future: Send + 'static> + Clone + Send + 'static,
        Via: 'static,
    {
        Server::new(self, make)
    }
}
