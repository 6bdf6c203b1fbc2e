//! The serving loop: a connection's lines to a service and its replies back, until the end.
//!
//! One batch is served at a time, so replies keep their order without a queue, and reading stops by
//! itself while a batch is being served or replies cannot be written: TCP carries the back-pressure
//! to the peer. The states and what leads from one to the next:
//!
//! ```text
//!            batch            reply            given to the sink
//!   Open ───────────► Serving ───────► Feeding ──────────────► Flushing
//!    ▲                                                            │
//!    └────────────────────────────────────────────────────────────┘ written
//!   Open ── end of input, drain, line too long, service error ──► Closing ── we ended it ──► Lingering
//!   anywhere ── deadline passed, stream failed ──► gone at once
//! ```
//!
//! Rules, each with a test in `tests/serve.rs`:
//! - a line in hand first, readiness second: an idle connection reserves nothing;
//! - nothing stays buffered when the task parks or the connection ends;
//! - a connection whose read filled the block gives way before it reads on;
//! - after a close of our own the rest of the input is read and forgotten until the peer closes too
//!   ([`LINGER`] and [`LINGER_BYTES`] at most), or the kernel would answer it with a reset that overtakes our replies.

mod config;
mod connection;
mod dispatch;
mod park;
mod write;
mod write_policy;

use std::{
    convert::Infallible,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

pub use config::ConnectionConfig;
pub use connection::Connection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;
pub use write_policy::WritePolicy;

use crate::{
    BoxFuture, FramedTransport, LineError, Lines, ReadyPerCall, Transport,
    drain::Watch,
    stats::{CloseReason, Stats},
};

/// Longest wait for the peer's own close after ours, unless [`ConnectionConfig::linger`] says otherwise.
pub const LINGER: Duration = Duration::from_secs(2);

/// Most input read and forgotten meanwhile: what a peer that stops when it sees our close can have
/// had on its way, in its kernel's largest usual send buffer. One that goes on is reset.
pub const LINGER_BYTES: usize = 4 * 1024 * crate::KIB;

/// The innermost service of a connection stack: runs the loop over a framed connection.
///
/// Asks the line service for readiness only with a batch in hand. If a layer in it can leave a
/// reservation behind that it did not use, as tower's `LoadShed` around a `ConcurrencyLimit` does,
/// put [`ReadyPerCall`] around that layer: a reservation then ends with the batch it was made for.
///
/// Cloned for each connection, and with it the line service, so state shared between connections
/// belongs in an `Arc` there.
#[derive(Debug, Clone)]
pub struct Serve<S> {
    service: S,
    stats: Arc<Stats>,
    drain: Watch,
    config: Arc<ConnectionConfig>,
}

impl<S: Service<Lines>> Serve<BoxFuture<S>> {
    /// Serves each connection's lines with a clone of `service`, uncounted, flushing by
    /// [`WritePolicy::Auto`], never told to drain. Each call's future is boxed.
    pub fn new(service: S) -> Self {
        Self::unboxed(BoxFuture::new(service))
    }
}

impl<S: Service<Lines, Future: Unpin>> Serve<S> {
    /// The same for a service whose futures are `Unpin`, as those of every layer here are around a
    /// service whose futures are. A call that is done at once then costs no allocation.
    pub fn unboxed(service: S) -> Self {
        Self {
            service,
            stats: Stats::unobserved(),
            drain: Watch::never(),
            config: ConnectionConfig::shared_default(),
        }
    }
}

impl<S> Serve<S> {
    /// Counts in `stats`.
    #[must_use]
    pub fn stats(mut self, stats: Arc<Stats>) -> Self {
        self.stats = stats;
        self
    }

    /// Finishes when `drain` tells.
    #[must_use]
    pub fn drain(mut self, drain: Watch) -> Self {
        self.drain = drain;
        self
    }

    /// Writes replies by `policy`.
    #[must_use]
    pub fn write_policy(self, policy: WritePolicy) -> Self {
        let config = self.config.detached();
        config.write_policy.store(policy);
        self.config(Arc::new(config))
    }

    /// Stops reading while so many bytes of replies, or more, are unsent. The default is 256 KiB.
    #[must_use]
    pub fn output_bytes_max(self, bytes: usize) -> Self {
        let config = self.config.detached();
        config.output_bytes_max.store(bytes);
        self.config(Arc::new(config))
    }

    /// Serves by a configuration that others may share, and that may change while connections are open.
    #[must_use]
    pub fn config(mut self, config: Arc<ConnectionConfig>) -> Self {
        self.config = config;
        self
    }
}

impl<S, T> Service<T> for Serve<S>
where
    T: Transport,
    S: Service<Lines, Response = Lines, Future: Unpin> + Clone,
{
    type Response = CloseReason;
    type Error = Infallible;
    type Future = Connection<T, S>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, transport: T) -> Connection<T, S> {
        Connection::new(transport, self.clone())
    }
}

/// Serves one connection over any byte stream until it ends, and says why it did.
///
/// Nothing is counted and nothing is timed: for heartbeat and deadlines build the stack from
/// [`HeartbeatLayer`](crate::heartbeat::HeartbeatLayer) and [`Serve`].
pub async fn serve_connection<Io, Codec, S>(
    io: Io,
    codec: Codec,
    service: S,
    drain: Watch,
) -> CloseReason
where
    Io: AsyncRead + AsyncWrite + Unpin,
    Codec: Decoder<Item = Lines, Error = LineError> + Encoder<Lines, Error = LineError> + Unpin,
    S: Service<Lines, Response = Lines> + Clone,
{
    // Readiness in the call, on a clone: whatever a layer inside reserves, and whatever a shed batch
    // left waiting, ends with the batch it was for.
    let serve = &mut Serve::new(ReadyPerCall::new(service)).drain(drain);
    let served = serve.call(FramedTransport::new(io, codec)).await;
    match served {
        Ok(reason) => reason,
        Err(never) => match never {},
    }
}
