//! The end of a server in order, a step after the other.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use towline_config::Timeouts;
use towline_middleware::drain::Signal;

use crate::{front::Front, lifecycle::Stage, shared::Shared};

/// Between two shares of the connections that are told to go.
const SPREAD_STEP: Duration = Duration::from_millis(50);

/// Says that it is not ready, goes on for `timeouts.drain_delay`, and stops accepting.
///
/// Readiness comes first, so that a balancer that looks stops sending before anybody is turned away.
pub(crate) async fn shut_the_door(
    front: &Front,
    timeouts: &Timeouts,
    stop_accepting: &watch::Sender<bool>,
) {
    front.life.set(Stage::Draining);
    if let Some(delay) = timeouts.drain_delay {
        sleep(delay).await;
    }
    stop_accepting.send_replace(true);
}

/// Tells connections to go, over `timeouts.drain_spread`.
pub(crate) async fn let_go(timeouts: &Timeouts, drains: &[Signal]) {
    if let Some(window) = timeouts.drain_spread {
        spread(window, drains).await;
    }
    for signal in drains {
        signal.drain();
    }
}

async fn spread(window: Duration, drains: &[Signal]) {
    let begun = Instant::now();
    loop {
        sleep(SPREAD_STEP.min(window)).await;
        let share = begun.elapsed().as_secs_f64() / window.as_secs_f64();
        if share >= 1.0 {
            return;
        }
        for signal in drains {
            signal.drain_share(share);
        }
    }
}

/// Connections that lose something when they are cut now. One that lingers does not: it has all its
/// replies and our close, and all that is left is to wait for its own.
pub(crate) fn unfinished(shared: &Shared) -> u64 {
    let lingering: i64 = shared.stats.iter().map(|stats| stats.lingering.get()).sum();
    (shared.slots.connections() as u64).saturating_sub(lingering.max(0) as u64)
}
