//! The serving loop: a connection's lines to a service and its replies back, until the connection ends.
//!
//! One batch is served at a time, so replies keep their order without a queue, and reading stops by
//! itself while a batch is being served or replies cannot be written: TCP carries the back-pressure to
//! the peer. The states and the transitions between them:
//!
//! ```text
//!            batch            reply            given to the sink
//!   Open ───────────► Serving ───────► Feeding ──────────────► Flushing
//!    ▲                                                            │
//!    └────────────────────────────────────────────────────────────┘ written
//!   Open ── end of input, drain, line too long, service error ──► Closing ── we ended it ──► Lingering
//!   Serving ── peer reset ──► ended    Serving ── peer half-closed, grace period over ──► Closing
//!   anywhere ── deadline passed ──► Expired ── paced ──► ended    anywhere ── stream failed ──► ended
//! ```
//!
//! Rules, each with a test in `tests/serve.rs`:
//! - a batch first, readiness second: an idle connection reserves nothing;
//! - nothing stays buffered when the task parks or the connection ends;
//! - a connection whose read filled the block, or whose turn took long, yields before it goes on;
//! - after our close the rest of the input is read and discarded until the peer closes too, for 2 s and
//!   4 MiB at most; otherwise the kernel would answer it with a reset that overtakes our replies;
//! - while a call waits, the connection watches for the peer's end, behind a bounded number of bytes that it
//!   reads ahead (`tests/serve_peer_end.rs`).
//!
//! `connection.rs` is the future and its states; `dispatch.rs`, `write.rs`, `park.rs` and `peer_end.rs` are
//! its steps.

mod answer;
mod config;
mod connection;
mod detached;
mod dispatch;
mod mail;
mod park;
mod peer_end;
mod respond;
mod rest;
mod secure;
mod shard_link;
mod throttled;
mod unserved;
mod write;
mod write_policy;

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

pub use config::{ConnectionConfig, LINGER};
pub use connection::Connection;
pub use respond::{Overlapped, Respond};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;
pub use write_policy::WritePolicy;

use self::shard_link::{ShardLink, Shared};
#[doc(hidden)]
pub use self::unserved::Unserved;

use crate::{
    Batch, BoxError, BoxFuture, FramedTransport, LineError, ReadyPerCall, Transport,
    drain::Watch,
    protocol::{HALF_CLOSE, Protocol},
    rate::Throttle,
    response::IntoResponse,
    session::SessionStack,
    stats::{CloseReason, Stats},
};

/// Most input that is read and discarded after our close: what a peer that stops when it sees our close
/// can have sent, with its kernel's largest usual send buffer. A peer that sends more is reset.
pub const LINGER_BYTES: usize = 4 * 1024 * crate::KIB;

/// The innermost service of a connection stack: runs the loop over a framed connection.
///
/// *Does*: serves batches one after another until the connection ends, answers a line that is too long
/// with `ERR line too long`, and cancels a call whose peer is gone. *Does not*: measure deadlines; that is
/// [`HeartbeatLayer`](crate::heartbeat::HeartbeatLayer). *Goes*: innermost in the connection stack, around
/// the line stack. *Costs*: some 400 bytes a connection with the whole stack, and no allocation a batch if
/// the call is done at once.
///
/// Polls the line service for readiness only with a batch to serve. If a layer in it can leave an unused
/// reservation behind, as Tower's `LoadShed` around a `ConcurrencyLimit` does, put [`ReadyPerCall`] around
/// that layer: a reservation then ends with the batch it was made for.
///
/// Cloned for each connection, and with it the line service, so state that connections share belongs in
/// an `Arc` there.
///
/// ```
/// use tower::Service;
/// use towline_middleware::{
///     Echo, FramedTransport, LinesBatchCodec, serve::Serve, stats::CloseReason,
/// };
/// # use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut serve = Serve::new(Echo).output_bytes_max(64 * 1024);
/// let (mut client, server) = tokio::io::duplex(64);
/// client.write_all(b"ping\n").await.unwrap();
/// client.shutdown().await.unwrap();
/// let transport = FramedTransport::new(server, LinesBatchCodec::new(64 * 1024));
/// assert_eq!(serve.call(transport).await.unwrap(), CloseReason::PeerEof);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Serve<S> {
    service: S,
    shared: Arc<Shared>,
}

impl<S> Serve<BoxFuture<S>> {
    /// Serves each connection's lines with a clone of `service`, with the defaults of the setters below.
    /// Each call's future is boxed.
    pub fn new(service: S) -> Self {
        Self::unboxed(BoxFuture::new(service))
    }
}

impl<S> Serve<S> {
    /// Like [`new`](Serve::new), for a service whose futures are `Unpin`, as those of every layer here are
    /// around a service whose futures are. A call that is done at once then costs no allocation.
    pub fn unboxed(service: S) -> Self {
        let shared = Shared {
            stats: Stats::unobserved(),
            drain: Watch::never(),
            config: ConnectionConfig::shared_default(),
            limits: None,
            throttle: None,
        };
        Self { service, shared: Arc::new(shared) }
    }

    /// A service for one connection, answered by `responder`, which need not be cloned.
    #[doc(hidden)]
    pub fn one<R>(&self, responder: R) -> ServeOne<R> {
        ServeOne { responder: Some(responder), opened: None, shared: self.shared.clone() }
    }

    /// Counts a connection as open, and lists it, before it is served.
    #[doc(hidden)]
    pub fn unserved(&self) -> Unserved {
        Unserved::new(ShardLink::new(self.shared.clone()))
    }
}

impl<S> Serve<S> {
    fn change(self, change: impl FnOnce(&mut Shared)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared);
        Self { service: self.service, shared: Arc::new(shared) }
    }

    /// Counts in `stats`. Default: [`Stats::unobserved`], which counts nothing.
    #[must_use]
    pub fn stats(self, stats: Arc<Stats>) -> Self {
        self.change(|shared| shared.stats = stats)
    }

    /// Finishes connections when `drain` signals. Default: never.
    #[must_use]
    pub fn drain(self, drain: Watch) -> Self {
        self.change(|shared| shared.drain = drain)
    }

    /// Limits the waits of a service that answers in parts, as [`EachLine`](crate::EachLine) does: each part behind
    /// the first that waits needs a permit, and has the timeout. Default: no limits.
    #[must_use]
    pub fn limits(self, limits: SessionStack) -> Self {
        self.change(|shared| shared.limits = Some(limits))
    }

    /// Has batches wait for rates that connections have together, while [`ConnectionConfig::set_throttles`] says so.
    /// Only for connections whose [peer is set](Connection::set_peer) and that are counted. Default: none.
    #[must_use]
    pub fn throttle(self, throttle: Arc<dyn Throttle>) -> Self {
        self.change(|shared| shared.throttle = Some(throttle))
    }

    /// Writes replies by `policy`. Default: [`WritePolicy::Auto`].
    #[must_use]
    pub fn write_policy(self, policy: WritePolicy) -> Self {
        let config = self.shared.config.detached();
        config.set_write_policy(policy);
        self.config(Arc::new(config))
    }

    /// Stops reading from a connection while this many bytes of its replies, or more, are unsent.
    /// Default: 256 KiB.
    #[must_use]
    pub fn output_bytes_max(self, bytes: usize) -> Self {
        let config = self.shared.config.detached();
        config.set_output_bytes_max(bytes);
        self.config(Arc::new(config))
    }

    /// Goes on with a call whose peer has half-closed for this long, and then cancels it; with `None` until
    /// it is done. Default: 500 ms; [`serve_connection`] and
    /// [`serve_session`](crate::session::serve_session) take it from [`Protocol::HALF_CLOSE`].
    #[must_use]
    pub fn half_close(self, grace: impl Into<Option<Duration>>) -> Self {
        let config = self.shared.config.detached();
        config.set_half_close(grace);
        self.config(Arc::new(config))
    }

    /// Sets the protocol's half-close time, if that is not the default.
    pub(crate) fn half_close_of<P: Protocol>(self) -> Self {
        if P::HALF_CLOSE == Some(HALF_CLOSE) { self } else { self.half_close(P::HALF_CLOSE) }
    }

    /// Serves by a configuration that others may share, and that may change while connections are open.
    /// Default: that of [`ConnectionConfig::default`].
    #[must_use]
    pub fn config(self, config: Arc<ConnectionConfig>) -> Self {
        self.change(|shared| shared.config = config)
    }

    /// The line service.
    pub const fn get_ref(&self) -> &S {
        &self.service
    }

    /// The line service, mutably.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.service
    }

    /// Drops the loop and returns the line service.
    pub fn into_inner(self) -> S {
        self.service
    }
}

impl<S, T, P> Service<T> for Serve<S>
where
    T: Transport<Protocol = P>,
    S: Respond<P> + Clone,
    P: Protocol,
{
    type Response = CloseReason;
    type Error = BoxError;
    type Future = Connection<T, S, P>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, transport: T) -> Connection<T, S, P> {
        let shard = ShardLink::new(self.shared.clone());
        Connection::new(transport, self.service.clone(), shard)
    }
}

/// As [`Serve`], for one connection. Made by [`Serve::one`].
#[doc(hidden)]
#[derive(Debug)]
pub struct ServeOne<R> {
    responder: Option<R>,
    opened: Option<Unserved>,
    shared: Arc<Shared>,
}

impl<R> ServeOne<R> {
    /// Serves a connection that is counted as open already, if there is one.
    #[must_use]
    pub fn of(self, opened: Option<Unserved>) -> Self {
        Self { opened, ..self }
    }
}

impl<R, T, P> Service<T> for ServeOne<R>
where
    T: Transport<Protocol = P>,
    R: Respond<P>,
    P: Protocol,
{
    type Response = CloseReason;
    type Error = BoxError;
    type Future = Connection<T, R, P>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    /// # Panics
    /// When it is called a second time.
    fn call(&mut self, transport: T) -> Connection<T, R, P> {
        let responder = self.responder.take().expect("it serves one connection");
        let shard = match self.opened.take() {
            None => ShardLink::new(self.shared.clone()),
            Some(opened) => opened.into_served(),
        };
        Connection::new(transport, responder, shard)
    }
}

/// Serves one connection over any byte stream until it ends, and returns why it did.
///
/// Without metrics and without deadlines: for those build the stack from
/// [`HeartbeatLayer`](crate::heartbeat::HeartbeatLayer) and [`Serve`]. The [crate]'s first example
/// uses it.
///
/// # Errors
/// That of the service, if it ended the connection.
pub async fn serve_connection<Io, Codec, S, P>(
    io: Io,
    codec: Codec,
    service: S,
    drain: Watch,
) -> Result<CloseReason, BoxError>
where
    Io: AsyncRead + AsyncWrite + Unpin + 'static,
    Codec: Decoder<Item = Batch<P>, Error = LineError>
        + Encoder<Batch<P>, Error = LineError>
        + Unpin
        + 'static,
    S: Service<Batch<P>, Error: Into<BoxError>> + Clone,
    S::Response: IntoResponse<Protocol = P>,
    P: Protocol,
{
    // Readiness in the call, on a clone: what a layer inside reserves, and what a shed batch left
    // waiting, ends with the batch it was for.
    let mut serve = Serve::new(ReadyPerCall::new(service)).drain(drain).half_close_of::<P>();
    serve.call(FramedTransport::new(io, codec)).await
}
