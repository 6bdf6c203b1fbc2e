//! A server of another protocol than lines, before a service is given.

use std::{fmt, marker::PhantomData};

use towline_middleware::protocol::Protocol;

use crate::{Builder, Peer, Server, serve::BatchService};

/// The settings of a [`Server`] of the protocol `P`, made by [`Builder::protocol`].
///
/// The same loop, limits, deadlines, metrics and drain as for lines; what the server says by itself is said in
/// the words of the protocol, or not at all. Without a word for a ping there is no heartbeat.
///
/// For services. [`Builder::router`](crate::Builder::router) and [`Builder::sessions`](crate::Builder::sessions) know
/// the protocol from the router and the session, and are methods of the builder itself.
///
/// ```no_run
/// use std::convert::Infallible;
/// use towline::{Batch, RunError, Server, protocol::Lf, service_fn};
///
/// fn main() -> Result<(), RunError> {
///     let echo = service_fn(|batch: Batch<Lf>| async move { Ok::<_, Infallible>(batch) });
///     Server::builder().listen("localhost:9000").frame_max(1 << 20).protocol::<Lf>().serve(echo).run()?;
///     Ok(())
/// }
/// ```
#[must_use = "a builder does nothing until `serve` gives it a service"]
pub struct ProtocolBuilder<P: Protocol> {
    builder: Builder,
    protocol: PhantomData<fn() -> P>,
}

impl<P: Protocol> ProtocolBuilder<P> {
    pub(crate) const fn new(builder: Builder) -> Self {
        Self { builder, protocol: PhantomData }
    }

    /// As [`Builder::serve`], for batches of the protocol.
    pub fn serve<S, Via>(self, service: S) -> Server
    where
        S: BatchService<Via, P, Future: Send + 'static> + Clone + Send + 'static,
        Via: 'static,
    {
        self.serve_with(move |_peer| service.clone())
    }

    /// As [`Builder::serve_with`], for batches of the protocol.
    pub fn serve_with<M, S, Via>(self, make: M) -> Server
    where
        M: Fn(Peer) -> S + Clone + Send + 'static,
        S: BatchService<Via, P, Future: Send + 'static> + Clone + Send + 'static,
        Via: 'static,
    {
        Server::of_protocol(self.builder, make)
    }
}

impl<P: Protocol> fmt::Debug for ProtocolBuilder<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProtocolBuilder").field("builder", &self.builder).finish()
    }
}
