//! The main figures of a server, for people and scripts without a Prometheus.

use serde_json::{Map, Value, json};
use towline_middleware::stats::{CloseReason, LineResult, State};

use crate::{
    counts::{Rejection, Snapshot},
    lifecycle::{ServerState, Stage},
};

/// The main figures.
pub(crate) fn json(state: &ServerState, snapshot: &Snapshot) -> Value {
    let Snapshot { counted, held, .. } = snapshot;
    let stage = if state.lifecycle.is(Stage::Draining) {
        "draining"
    } else if state.lifecycle.is(Stage::Accepting) {
        "accepting"
    } else {
        "starting"
    };
    json!({
        "stage": stage,
        "set_at_run_time": state.layers().set.keys().collect::<Vec<_>>(),
        "connections": {
            "open": held.open(),
            "limit": state.slots.limit(),
            "accepted": counted.accepted,
            "states": named(State::ALL.map(State::label), &held.connections),
            "closed": named(CloseReason::ALL.map(CloseReason::label), &counted.closed),
            "rejected": named(Rejection::ALL.map(Rejection::label), &counted.rejected),
        },
        "lines": {
            "received": counted.lines_received,
            "processed": named(LineResult::ALL.map(LineResult::label), &counted.lines_processed),
        },
        "bytes": {
            "read": counted.read_bytes,
            "written": counted.written_bytes,
            "buffered": held.read_buffer_bytes + held.write_buffer_bytes,
            "buffer_limit": held.buffer_limit_bytes,
        },
        "process": {
            "cpu_seconds": counted.cpu_nanos as f64 / 1e9,
            "resident_bytes": held.resident_bytes,
            "open_descriptors": held.open_descriptors,
            "max_descriptors": held.max_descriptors,
        },
    })
}

fn named<const N: usize>(names: [&'static str; N], values: &[u64; N]) -> Value {
    let pairs = names.into_iter().zip(values);
    Value::Object(
        pairs.map(|(name, value)| (name.to_owned(), (*value).into())).collect::<Map<_, _>>(),
    )
}
