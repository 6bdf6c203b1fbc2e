//! Overload control: what a server does when it runs out of connections, descriptors or memory.
//!
//! `ladder.rs` is a ladder of steps against overload, each a gauge and a line in the log; `eviction.rs`
//! says when connections are closed because their clients hold buffers; `full.rs` says when the
//! connection limit is reached and left.

mod eviction;
mod full;
mod ladder;

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use towline_host::{descriptor_limit, descriptors_reserved};

pub use self::full::watch_connection_limit;
use self::{eviction::Eviction, ladder::Pressure};
use crate::{counts::STEPS, live_config::Mitigation, shard::PoolState};

/// Time between two reads of the pressure. A read touches a few cells of each shard and no connection.
const INTERVAL: Duration = Duration::from_millis(100);

/// Reads the pressure of a process ten times a second and puts the mitigation in force that it calls
/// for, until dropped.
pub async fn run_overload_control(shards: Arc<PoolState>) {
    let mut eviction = Eviction::default();
    loop {
        sleep(INTERVAL).await;
        let pressure = pressure(&shards);
        eviction.run(&shards, pressure);
        if let Some(stats) = shards.stats.first() {
            shards.slots.closed().report_left_out(stats.now());
        }
        // Pressure of connections and descriptors can only shorten `timeouts.idle`.
        let counts = if shards.config.borrow().effective.settings.timeouts.idle.is_some() {
            pressure
        } else {
            Pressure { connections: 0.0, descriptors: 0.0, ..pressure }
        };
        let before = shards.config.borrow().mitigation;
        let mitigation = ladder::mitigation(counts, before);
        if mitigation != before {
            log_steps(pressure, before, mitigation);
            shards.config.send_modify(|config| config.mitigation = mitigation);
        }
    }
}

fn pressure(shards: &PoolState) -> Pressure {
    let connections = shards.slots.connections();
    let ratio = |used: u64, limit: u64| used as f64 / limit.max(1) as f64;
    let descriptors = connections as u64 + descriptors_reserved(shards.slots.shards());
    let limit_bytes = shards.config.borrow().buffer_limit_bytes;
    let (buffer_bytes, held_bytes) = (shards.buffer_bytes(), shards.held_bytes());
    Pressure {
        connections: ratio(connections as u64, shards.slots.limit() as u64),
        descriptors: ratio(descriptors, descriptor_limit()),
        memory: ratio(buffer_bytes, limit_bytes),
        in_service: ratio(buffer_bytes.saturating_sub(held_bytes), limit_bytes),
    }
}

/// Logs each step that is taken or left, but not the changes of timeouts in between.
fn log_steps(pressure: Pressure, before: Mitigation, after: Mitigation) {
    let Pressure { connections, descriptors, memory, .. } = pressure;
    for (step, (before, after)) in STEPS.iter().zip(before.steps().into_iter().zip(after.steps())) {
        match (before, after) {
            (false, true) => {
                tracing::warn!(step, memory, connections, descriptors, "overload step taken");
            }
            (true, false) => {
                tracing::info!(step, memory, connections, descriptors, "overload step left");
            }
            _ => {}
        }
    }
}
