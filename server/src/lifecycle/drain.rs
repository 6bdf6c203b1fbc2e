//! Steps of a drain: not ready, the delay, no more accepts, the accept queue.

use std::{future::Future, time::Duration};

use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use towline_config::Timeouts;
use towline_host::AcceptQueueReader;

use super::{Stage, state::ServerState};

/// Turns readiness off, waits for `timeouts.drain_delay`, and stops accepting.
///
/// Readiness comes first: a load balancer that polls `/readyz` stops sending connections before one is
/// refused.
pub async fn stop_accepting(state: &ServerState, timeouts: &Timeouts, stop: &watch::Sender<bool>) {
    state.lifecycle.set(Stage::Draining);
    if let Some(delay) = timeouts.drain_delay {
        sleep(delay).await;
    }
    stop.send_replace(true);
}

/// How long a drain that is cut waits for the acceptor to end the connections in the accept queue.
const CUT_QUEUE_WAIT_MAX: Duration = Duration::from_millis(500);

/// Lets the acceptor end the connections in the accept queue before a cut closes the listening socket,
/// which would reset them. `ended` completes when the acceptor has.
///
/// Returns how many connections are in the queue nevertheless, because the kernel refuses to hand them
/// over.
pub async fn end_queue_before_cut(
    state: &ServerState,
    stop: &watch::Sender<bool>,
    ended: impl Future,
) -> u64 {
    stop.send_replace(true);
    if timeout(CUT_QUEUE_WAIT_MAX, ended).await.is_ok() {
        return 0;
    }
    let waiting = AcceptQueueReader::default().waiting(&state.ports());
    let connections = waiting.unwrap_or(0);
    if connections > 0 {
        tracing::warn!(connections, "connections in the accept queue are reset");
    }
    connections
}
