//! Metrics of the threads that serve lines, and of their processes.

use towline_middleware::stats::SchedulingDelay;

use super::family::{Labels, Values, by, histogram};
use crate::counts::{ProcessState, Snapshot};

/// Adds the metrics of the threads that serve lines.
pub(super) fn add_families(
    snapshot: &Snapshot,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let workers = || {
        let label = |at: usize| -> Labels { vec![("worker", at.to_string())] };
        snapshot.shards.iter().enumerate().map(move |(at, shard)| (label(at), shard))
    };
    add(
        "towline_worker_connections",
        "Open connections by worker. A worker is a thread that serves lines.",
        Values::Gauge(workers().map(|(label, at)| (label, at.connections as f64)).collect()),
    );
    add(
        "towline_worker_busy_seconds_total",
        "Time that a worker thread spent working instead of waiting for events.",
        Values::Seconds(workers().map(|(label, at)| (label, at.busy_nanos.into())).collect()),
    );
    add(
        "towline_scheduling_delay_seconds",
        "How late a worker thread runs what is ready to run, sampled 20 times per second on each worker \
         that has connections. Includes waiting for a CPU and for other connections of the same worker.",
        histogram(SchedulingDelay::BOUNDS, &snapshot.counted.scheduling_delay),
    );
    add(
        "towline_worker_processes",
        "Processes that serve lines, by state. serving: takes new connections. unresponsive: stands \
         still, and gets none. missing: starts, has ended, or drains to be replaced.",
        Values::Gauge(by("state", &ProcessState::ALL, ProcessState::label, |state| {
            snapshot.held.processes[state as usize] as f64
        })),
    );
    add(
        "towline_worker_restarts_total",
        "Restarts of worker processes, reported on the first worker of the process.",
        Values::Counter(workers().map(|(label, at)| (label, at.restarts)).collect()),
    );
}
