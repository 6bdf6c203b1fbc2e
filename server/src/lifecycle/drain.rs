//! The first steps of a drain: readiness, delay, no more accepts.

use tokio::{sync::watch, time::sleep};
use towline_config::Timeouts;

use super::{Stage, state::ServerState};

/// Says that it is not ready, goes on for `timeouts.drain_delay`, and stops accepting.
///
/// Readiness comes first, so that a balancer that looks stops sending before anybody is turned away.
pub async fn stop_accepting_in_order(
    state: &ServerState,
    timeouts: &Timeouts,
    stop_accepting: &watch::Sender<bool>,
) {
    state.lifecycle.set(Stage::Draining);
    if let Some(delay) = timeouts.drain_delay {
        sleep(delay).await;
    }
    stop_accepting.send_replace(true);
}
