use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tower_layer::Layer;
use tower_service::Service;

use super::{Deadlines, HeartbeatTransport, PingWords, supervision::Supervision};
use crate::{macros::service_accessors, stats::Stats};

/// Supervises each connection and passes a [`HeartbeatTransport`] on to the inner service.
///
/// Made by [`HeartbeatLayer`]; the [module](super) says what supervision does and costs.
#[derive(Debug, Clone)]
pub struct HeartbeatService<S> {
    inner: S,
    supervision: Arc<Supervision>,
}

impl<S> HeartbeatService<S> {
    /// Holds each connection to `deadlines` and counts pings in `stats`.
    pub fn new(inner: S, deadlines: Deadlines, stats: Arc<Stats>) -> Self {
        HeartbeatLayer::new(deadlines, stats).layer(inner)
    }

    service_accessors!();
}

impl<S, T> Service<T> for HeartbeatService<S>
where
    S: Service<HeartbeatTransport<T>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, transport: T) -> S::Future {
        self.inner.call(HeartbeatTransport::new(transport, self.supervision.clone()))
    }
}

/// Layer for [`HeartbeatService`]. Clones share their deadlines and their clock: a change through one
/// holds for the connections of all.
///
/// *Goes*: above [`FramingLayer`](crate::FramingLayer), directly around
/// [`Serve`](crate::serve::Serve).
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use tokio::time::Instant;
/// use tower::{Service, ServiceBuilder};
/// use towline_middleware::{
///     Echo, FramingLayer, LinesBatchCodec,
///     heartbeat::{Deadlines, HeartbeatLayer},
///     serve::Serve,
///     stats::{CloseReason, Stats},
/// };
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let stats = Arc::new(Stats::new(Instant::now()));
/// let deadlines = Deadlines::new().idle(Some(Duration::from_secs(60)));
/// let mut connections = ServiceBuilder::new()
///     .layer(FramingLayer::new(LinesBatchCodec::new, 64 * 1024))
///     .layer(HeartbeatLayer::new(deadlines, stats.clone()))
///     .service(Serve::new(Echo).stats(stats));
/// let (silent, server) = tokio::io::duplex(64);
/// assert_eq!(connections.call(server).await.unwrap(), CloseReason::IdleTimeout);
/// # drop(silent);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct HeartbeatLayer {
    supervision: Arc<Supervision>,
}

impl HeartbeatLayer {
    /// Holds each connection to `deadlines` and counts pings in `stats`.
    pub fn new(deadlines: Deadlines, stats: Arc<Stats>) -> Self {
        Self::with_words(deadlines, stats, PingWords::new())
    }

    /// As [`new`](Self::new), with pings of these words.
    pub fn with_words(deadlines: Deadlines, stats: Arc<Stats>, words: PingWords) -> Self {
        Self { supervision: Arc::new(Supervision::new(deadlines, stats, words)) }
    }

    /// Keeps time during which the process was suspended out of all deadlines, as long as it is polled.
    ///
    /// Without it, a process that was stopped for longer than its deadlines closes every connection when
    /// it goes on. *Costs*: a wake-up each quarter of a second, whatever the number of connections.
    pub async fn run_watchdog(self) {
        self.supervision.run_watchdog().await;
    }

    /// The deadlines of now.
    pub fn deadlines(&self) -> Deadlines {
        self.supervision.deadlines()
    }

    /// Holds connections to other deadlines, open ones included.
    ///
    /// A parked connection reads them when it wakes, so wake it:
    /// [`Signal::wake_from`](crate::drain::Signal::wake_from).
    pub fn set_deadlines(&self, deadlines: Deadlines) {
        self.supervision.set_deadlines(deadlines);
    }
}

impl<S> Layer<S> for HeartbeatLayer {
    type Service = HeartbeatService<S>;

    fn layer(&self, inner: S) -> HeartbeatService<S> {
        HeartbeatService { inner, supervision: self.supervision.clone() }
    }
}
