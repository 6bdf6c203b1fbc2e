//! What is served: a service, one of another protocol, or sessions.

use towline_middleware::{
    protocol::Protocol,
    session::{Conn, IntoSession, Session},
};

use super::{Builder, ProtocolBuilder};
use crate::{serve::BatchService, server::Server, shard::Peer};

impl Builder {
    /// Serves another protocol than lines. What follows gives it a service of its batches.
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
