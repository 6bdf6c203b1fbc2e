//! Metrics of the pressure on a server and of the steps against overload.

use super::family::{Values, by, gauge};
use crate::counts::{Gauges, STEPS, Status};

const RESOURCES: [&str; 3] = ["connections", "descriptors", "memory"];

/// Adds the metrics of overload control.
pub(super) fn add_families(
    status: &Status,
    held: &Gauges,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let ratio = |used: u64, limit: u64| used as f64 / limit.max(1) as f64;
    let buffers = (held.read_buffer_bytes + held.write_buffer_bytes).max(0).unsigned_abs();
    let pressure = |resource| match resource {
        "connections" => ratio(held.open(), status.connections_limit),
        "descriptors" => ratio(held.open_descriptors, held.max_descriptors),
        _ => ratio(buffers, held.buffer_limit_bytes),
    };
    add(
        "towline_overload_pressure_ratio",
        "Use of a resource divided by its limit. memory: of the buffers of connections.",
        Values::Gauge(by("resource", &RESOURCES, |at| at, pressure)),
    );
    let processes = STEPS.iter().zip(held.overload_steps);
    add(
        "towline_overload_active",
        "Number of processes in which a step against overload is in force. shrink: timeouts are \
         shortened. shed: lines are answered with an error. refuse: new connections wait or are \
         rejected.",
        Values::Gauge(
            processes.map(|(step, on)| (vec![("step", (*step).to_owned())], on as f64)).collect(),
        ),
    );
    add(
        "towline_buffer_limit_bytes",
        "Limit for towline_buffer_bytes. Overload steps are taken near it.",
        gauge(held.buffer_limit_bytes as f64),
    );
}
