use std::{
    sync::Arc,
    task::{Context, Poll},
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
        self.inner.call(HeartbeatTransport::new(transport, self.shared.clone()))
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
        Self { shared: Arc::new(Shared { limits, stats }) }
    }
}

impl<S> Layer<S> for HeartbeatLayer {
    type Service = Heartbeat<S>;

    fn layer(&self, inner: S) -> Heartbeat<S> {
        Heartbeat { inner, shared: self.shared.clone() }
    }
}
