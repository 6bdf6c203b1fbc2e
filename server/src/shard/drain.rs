//! The end of a server in order, a step after the other.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use towline_config::Timeouts;
use towline_middleware::drain::Signal;

use super::PoolState;

/// Between two shares of the connections that are told to go.
const SPREAD_STEP: Duration = Duration::from_millis(50);

/// Tells connections to go, over `timeouts.drain_spread`.
pub(super) async fn drain_connections(timeouts: &Timeouts, drains: &[Signal]) {
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
pub(super) fn unfinished(shared: &PoolState) -> u64 {
    let lingering: i64 = shared.stats.iter().map(|stats| stats.lingering.get()).sum();
    (shared.slots.connections() as u64).saturating_sub(lingering.max(0) as u64)
}
