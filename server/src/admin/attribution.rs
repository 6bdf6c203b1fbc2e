//! Asks once a second why replies wait.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use towline_middleware::stats::State;

use super::StatusSource;
use crate::connections::{KernelView, WantedRows};

/// Time between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Looks at connections that wait for their peers, once a second, for ever. Asks for rows only while there are any.
pub(super) async fn run_attribution(source: &impl StatusSource) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = source.state();
    let mut kernel = KernelView::of_ports(state.ports());
    loop {
        ticks.tick().await;
        let snapshot = source.snapshot().await;
        let total = snapshot.counted.state_nanos[State::WriteWait as usize];
        let total_nanos = u64::try_from(total).unwrap_or(u64::MAX);
        let waits = snapshot.held.connections[State::WriteWait as usize] > 0;
        match &mut kernel {
            Some(kernel) if waits => {
                let rows = source.rows(WantedRows::WriteWaits).await.rows;
                if kernel.needs_addresses() {
                    kernel.learn_addresses().await;
                }
                state.write_waits.look(rows, kernel, total_nanos);
            }
            _ => state.write_waits.skip(total_nanos),
        }
    }
}
