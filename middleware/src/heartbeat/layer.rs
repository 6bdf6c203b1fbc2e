use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tower_layer::Layer;
use tower_service::Service;

use super::{HeartbeatTransport, Limits};
use crate::stats::Stats;

/// What all supervised connections of a shard share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) stats: Arc<Stats>,
    /// Moves on with every connection; see [`Shared::jitter`].
    spread: AtomicU32,
}

impl Shared {
    /// Up to a tenth of the interval, spread evenly over connections that come one after another.
    fn jitter(&self) -> Duration {
        // Multiples of the golden ratio fill an interval evenly, whatever their number.
        let spread = self.spread.fetch_add(0x9E37_79B9, Relaxed);
        let tenth = self.limits.heartbeat_interval.unwrap_or_default() / 10;
        tenth.mul_f64(f64::from(spread) / f64::from(u32::MAX))
    }
}

/// Passes a [`HeartbeatTransport`] on to the connection stack.
#[derive(Debug, Clone)]
pub struct Heartbeat<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, T> Service<T> for Heartbeat<S>
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
        let jitter = self.shared.jitter();
        self.inner.call(HeartbeatTransport::new(transport, self.shared.clone(), jitter))
    }
}

/// Makes a [`Heartbeat`]. Goes above framing.
#[derive(Debug, Clone)]
pub struct HeartbeatLayer {
    shared: Arc<Shared>,
}

impl HeartbeatLayer {
    /// Holds each connection to `limits` and counts pings in `stats`.
    pub fn new(limits: Limits, stats: Arc<Stats>) -> Self {
        Self { shared: Arc::new(Shared { limits, stats, spread: AtomicU32::new(0) }) }
    }
}

impl<S> Layer<S> for HeartbeatLayer {
    type Service = Heartbeat<S>;

    fn layer(&self, inner: S) -> Heartbeat<S> {
        Heartbeat { inner, shared: self.shared.clone() }
    }
}
