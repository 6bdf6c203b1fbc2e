//! The first steps of a drain: not ready, the delay, no more accepts.

use tokio::{sync::watch, time::sleep};
use towline_config::Timeouts;

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
