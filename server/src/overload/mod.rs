//! What a server does when it runs out of something: a ladder of steps, each a gauge and a line in
//! the log.

mod ladder;

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use towline_host::{descriptor_limit, descriptors_reserved};

use self::ladder::Pressure;
use crate::{counts::STEPS, live_config::Mitigation, shard::PoolState};

/// How often the pressure is taken. Reads a few cells a shard and no connection.
const EVERY: Duration = Duration::from_millis(100);

/// Has the server do what its pressure demands, for as long as it is polled.
pub async fn run_overload_control(shared: Arc<PoolState>) {
    loop {
        sleep(EVERY).await;
        let pressure = take(&shared);
        let before = shared.config.borrow().mitigation;
        // Where nobody is closed for being idle, a server that is full can do nothing about it.
        let relief = if shared.config.borrow().effective.settings.timeouts.idle.is_some() {
            ladder::relief(pressure, before)
        } else {
            let memory = pressure.memory;
            ladder::relief(Pressure { memory, ..Pressure::default() }, before)
        };
        if relief != before {
            tell(pressure, before, relief);
            shared.config.send_modify(|config| config.mitigation = relief);
        }
    }
}

fn take(shared: &PoolState) -> Pressure {
    let connections = shared.slots.connections();
    let ratio = |used: u64, limit: u64| used as f64 / limit.max(1) as f64;
    let descriptors = connections as u64 + descriptors_reserved(shared.slots.shards());
    Pressure {
        connections: ratio(connections as u64, shared.slots.limit() as u64),
        descriptors: ratio(descriptors, descriptor_limit()),
        memory: ratio(shared.buffer_bytes(), shared.config.borrow().buffer_limit_bytes),
    }
}

/// A line for each step that is taken or left; shorter and longer timeouts in between are no news.
fn tell(pressure: Pressure, before: Mitigation, after: Mitigation) {
    let Pressure { connections, descriptors, memory } = pressure;
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
