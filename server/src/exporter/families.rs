//! All metrics of a server: name, HELP text, labels, and the source of the value.

use towline_middleware::stats::{CloseReason, FINE, LIFETIME, LineResult, State};

use super::{
    HostFacts, commands,
    family::{Family, Values, by, counter, gauge, histogram, seconds},
    kernel, overload, process, pushes, tls, workers,
};
use crate::counts::{Counters, ERRNOS, Gauges, Rejection, Snapshot, Status, WriteWaitCause};

/// The states in which a connection waits for its socket, by direction.
fn waiting(direction: &str) -> &'static [State] {
    match direction {
        "read" => &[State::Idle, State::ReadWait],
        _ => &[State::WriteWait],
    }
}

const DIRECTIONS: [&str; 2] = ["read", "write"];

/// All metrics, with values of one moment.
pub(super) fn families(status: &Status, snapshot: &Snapshot, host: &HostFacts) -> Vec<Family> {
    let Snapshot { counted, held, .. } = snapshot;
    let mut families = Vec::with_capacity(48);
    let mut add = |name, help, values| families.push(Family { name, help, values });
    about(status, snapshot, &mut add);
    connections(status, counted, held, &mut add);
    lines(counted, held, &mut add);
    commands::add_families(&snapshot.commands, &mut add);
    if let Some(pushed) = &snapshot.pushes {
        pushes::add_families(pushed, &mut add);
    }
    if let Some(tls) = &status.tls {
        tls::add_families(tls, counted, &mut add);
    }
    overload::add_families(status, held, &mut add);
    workers::add_families(snapshot, &mut add);
    kernel::add_families(&host.kernel, &mut add);
    process::add_families(counted, held, host.start_time_seconds, &mut add);
    families
}

fn about(
    status: &Status,
    snapshot: &Snapshot,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let counted = &snapshot.counted;
    let settings = &status.effective.settings;
    let build = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("revision", option_env!("TOWLINE_REVISION").unwrap_or("unknown").to_owned()),
    ];
    let config = vec![
        ("workload", settings.workload.kind.to_string()),
        ("framing", settings.workload.framing.to_string()),
        ("flush", settings.flush.policy.to_string()),
    ];
    add(
        "towline_build_info",
        "Version and source revision of the running binary, as labels; always 1.",
        Values::Gauge(vec![(build, 1.0)]),
    );
    add(
        "towline_config_info",
        "Workload, framing and flush policy in force, as labels; always 1.",
        Values::Info(config),
    );
    let reloads = vec![
        (vec![("result", "ok".to_owned())], counted.reloads_ok),
        (vec![("result", "error".to_owned())], counted.reloads_failed),
    ];
    add(
        "towline_config_reloads_total",
        "Configuration reloads, by result.",
        Values::Counter(reloads),
    );
    add(
        "towline_config_last_reload_successful",
        "1 if the last configuration reload was applied or there was none, 0 if it failed and \
         the previous configuration is still in force.",
        gauge(f64::from(u8::from(status.last_reload_ok))),
    );
    add(
        "towline_draining",
        "1 while the server drains after a stop signal, otherwise 0.",
        gauge(f64::from(u8::from(status.draining))),
    );
    add(
        "towline_snapshot_seconds",
        "The monotonic clock of the host when these values were read. The difference of a counter between two \
         scrapes, divided by the difference of this clock, is an exact rate.",
        gauge(snapshot.taken_nanos as f64 / 1e9),
    );
}

fn connections(
    status: &Status,
    counted: &Counters,
    held: &Gauges,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    let open = |state: State| held.connections[state as usize] as f64;
    add(
        "towline_connections",
        "Open connections by state. A connection is in exactly one state.",
        Values::Gauge(by("state", &State::ALL, State::label, open)),
    );
    add(
        "towline_connections_active",
        "Open connections, in all states.",
        gauge(held.open() as f64),
    );
    add(
        "towline_connections_limit",
        "Maximum number of open connections.",
        gauge(status.connections_limit as f64),
    );
    add(
        "towline_connections_accepted_total",
        "Connections accepted and served. Rejected connections are not included.",
        counter(counted.accepted),
    );
    add(
        "towline_connections_closed_total",
        "Closed connections, by reason.",
        Values::Counter(by("reason", &CloseReason::ALL, CloseReason::label, |reason| {
            counted.closed[reason as usize]
        })),
    );
    add(
        "towline_connection_duration_seconds",
        "How long connections were open, counted when they end. Those that were lost with a worker process are \
         not included.",
        histogram(&LIFETIME, &counted.connection_duration),
    );
    add(
        "towline_connections_rejected_total",
        "Connections rejected without being served, by reason.",
        Values::Counter(by("reason", &Rejection::ALL, Rejection::label, |why| {
            counted.rejected[why as usize]
        })),
    );
    if !status.listeners.is_empty() {
        let results = status.listeners.iter().flat_map(|listener| {
            let labels = |result: &str| {
                // The façade takes values as they are; a path may have what ends one.
                let label = listener.label.replace('\\', r"\\").replace('"', r#"\""#);
                vec![("listener", label), ("result", result.to_owned())]
            };
            [(labels("accepted"), listener.accepted), (labels("rejected"), listener.rejected)]
        });
        add(
            "towline_listener_connections_total",
            "Connections by the listener that they came by, accepted or rejected.",
            Values::Counter(results.collect()),
        );
    }
    let errors = ERRNOS.iter().zip(counted.accept_errors);
    add(
        "towline_accept_errors_total",
        "Errors of the accept system call, by errno.",
        Values::Counter(
            errors.map(|(errno, count)| (vec![("errno", (*errno).to_owned())], count)).collect(),
        ),
    );
    let nanos = |state: State| counted.state_nanos[state as usize];
    add(
        "towline_connection_state_seconds_total",
        "Time spent in each state, summed over all connections, open ones included.",
        Values::Seconds(by("state", &State::ALL, State::label, nanos)),
    );
    let waited = |direction| waiting(direction).iter().map(|&state| nanos(state)).sum();
    add(
        "towline_io_wait_seconds_total",
        "Time spent waiting for clients, summed over all connections, current waits included. \
         read: for the next bytes, idle or within a line. write: for the client to read its \
         replies.",
        Values::Seconds(by("direction", &DIRECTIONS, |at| at, waited)),
    );
    let waiting = |direction| waiting(direction).iter().map(|&state| open(state)).sum();
    add(
        "towline_write_wait_seconds_total",
        "Time in which replies waited for clients to take them, by cause: the client does not read, \
         the network loses or delays segments, the server's own limit of unsent bytes, or unknown \
         (not looked at, or over within seconds).",
        Values::Seconds(by("cause", &WriteWaitCause::ALL, WriteWaitCause::label, |cause| {
            status.write_wait_nanos[cause as usize].into()
        })),
    );
    add(
        "towline_io_waiting",
        "Connections that wait for their client now. read: for the next bytes, idle or within a \
         line. write: for the client to read its replies.",
        Values::Gauge(by("direction", &DIRECTIONS, |at| at, waiting)),
    );
}

fn lines(
    counted: &Counters,
    held: &Gauges,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    add("towline_read_bytes_total", "Bytes read from clients.", counter(counted.read_bytes));
    add("towline_written_bytes_total", "Bytes written to clients.", counter(counted.written_bytes));
    add(
        "towline_lines_processed_total",
        "Processed lines, by result.",
        Values::Counter(by("result", &LineResult::ALL, LineResult::label, |result| {
            counted.lines_processed[result as usize]
        })),
    );
    add(
        "towline_lines_received_total",
        "Complete lines received.",
        counter(counted.lines_received),
    );
    add(
        "towline_lines_unterminated_total",
        "Connections that ended in the middle of a line. The incomplete line is dropped.",
        counter(counted.lines_unterminated),
    );
    add(
        "towline_batches_total",
        "Batches of lines received. A batch is all complete lines of one read.",
        counter(counted.batches),
    );
    add(
        "towline_batch_duration_seconds",
        "Time in the stack: from passing a batch of lines to the service until its replies are written. \
         The time that lines waited in the kernel and for their worker thread before they were read is \
         not included.",
        histogram(&FINE, &counted.batch_duration),
    );
    add(
        "towline_concurrency_limit",
        "Maximum number of batches served at the same time.",
        gauge(held.concurrency_limit as f64),
    );
    add(
        "towline_concurrency_in_use",
        "Batches being served now, at most towline_concurrency_limit.",
        gauge(held.concurrency_in_use as f64),
    );
    add(
        "towline_heartbeats_sent_total",
        "Pings sent to silent clients.",
        counter(counted.heartbeats_sent),
    );
    add(
        "towline_heartbeats_missed_total",
        "Pings not answered in time. The connection is closed.",
        counter(counted.heartbeats_missed),
    );
    add(
        "towline_hashed_bytes_total",
        "Bytes of hashed lines, line ends included.",
        counter(counted.hashed_bytes),
    );
    add("towline_hash_seconds_total", "Time spent hashing lines.", seconds(counted.hash_nanos));
    let bytes = |direction| match direction {
        "read" => held.read_buffer_bytes as f64,
        _ => held.write_buffer_bytes as f64,
    };
    add(
        "towline_buffer_bytes",
        "Memory held in the buffers of waiting connections. read: incomplete lines and batches \
         being served. write: replies that the client has not read.",
        Values::Gauge(by("direction", &DIRECTIONS, |at| at, bytes)),
    );
}
