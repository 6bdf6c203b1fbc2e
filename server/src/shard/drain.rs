//! Draining connections: at once or spread over a window, and what a cut loses.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use towline_config::Timeouts;
use towline_middleware::drain::Signal;

use super::PoolState;

/// Time between two shares of connections that are signalled to drain.
const SPREAD_STEP: Duration = Duration::from_millis(50);

/// Signals every connection to drain; with `timeouts.drain_spread`, share by share over that time.
pub(crate) async fn drain_in_steps(timeouts: &Timeouts, signals: &[Signal]) {
    if let Some(window) = timeouts.drain_spread {
        drain_shares(window, signals).await;
    }
    for signal in signals {
        signal.drain();
    }
}

async fn drain_shares(window: Duration, signals: &[Signal]) {
    let start = Instant::now();
    loop {
        sleep(SPREAD_STEP.min(window)).await;
        let share = start.elapsed().as_secs_f64() / window.as_secs_f64();
        if share >= 1.0 {
            return;
        }
        for signal in signals {
            signal.drain_share(share);
        }
    }
}

/// Connections that would lose something if they were cut now. A lingering connection would not: its
/// peer has every reply and the server's half-close, and only the peer's own close is missing.
pub(crate) fn unfinished(pool: &PoolState) -> u64 {
    let lingering: i64 = pool.stats.iter().map(|stats| stats.lingering.get()).sum();
    (pool.slots.connections() as u64).saturating_sub(lingering.max(0) as u64)
}
