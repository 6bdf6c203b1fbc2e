//! Every metric: its name, its meaning, its labels and where its value comes from.

use towline_middleware::stats::{CloseReason, LineResult, State};

use super::{
    HostFacts,
    family::{Family, Labels, Values, by, gauge, one, seconds},
    overload,
};
use crate::counts::{Counters, ERRNOS, Gauges, Rejection, Snapshot, Status};

/// The states of a connection that wait for the socket, by direction.
fn waiting(direction: &str) -> &'static [State] {
    match direction {
        "read" => &[State::Idle, State::ReadWait],
        _ => &[State::WriteWait],
    }
}

const DIRECTIONS: [&str; 2] = ["read", "write"];

/// All of them, as of one moment.
pub(super) fn of(status: &Status, snapshot: &Snapshot, host: &HostFacts) -> Vec<Family> {
    let Snapshot { counted, held, .. } = snapshot;
    let mut families = Vec::with_capacity(48);
    let mut add = |name, help, values| families.push(Family { name, help, values });
    about(status, counted, &mut add);
    connections(status, counted, held, &mut add);
    lines(counted, held, &mut add);
    overload::of(status, held, &mut add);
    workers(snapshot, &mut add);
    kernel(host, &mut add);
    process(counted, held, host, &mut add);
    families
}

fn about(
    status: &Status,
    counted: &Counters,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
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
    add("towline_build_info", "The running binary; always 1.", Values::Gauge(vec![(build, 1.0)]));
    add("towline_config_info", "The configured workload; always 1.", Values::Info(config));
    let reloads = vec![
        (vec![("result", "ok".to_owned())], counted.reloads_ok),
        (vec![("result", "error".to_owned())], counted.reloads_failed),
    ];
    add(
        "towline_config_reloads_total",
        "Attempts to load the configuration again, by result.",
        Values::Counter(reloads),
    );
    add(
        "towline_config_last_reload_successful",
        "0 while the configuration that was asked for last is not the one that runs, else 1.",
        gauge(f64::from(u8::from(status.last_reload_ok))),
    );
    add(
        "towline_draining",
        "1 from the signal to stop on, else 0.",
        gauge(f64::from(u8::from(status.draining))),
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
        "Open connections by what they are doing; the states are exclusive.",
        Values::Gauge(by("state", &State::ALL, State::label, open)),
    );
    add("towline_connections_active", "Open connections.", gauge(held.open() as f64));
    add(
        "towline_connections_limit",
        "Most connections this server holds.",
        gauge(status.connections_limit as f64),
    );
    add(
        "towline_connections_accepted_total",
        "Connections that entered service.",
        one(counted.accepted),
    );
    add(
        "towline_connections_closed_total",
        "Connections that ended, by reason.",
        Values::Counter(by("reason", &CloseReason::ALL, CloseReason::label, |reason| {
            counted.closed[reason as usize]
        })),
    );
    add(
        "towline_connections_rejected_total",
        "Connections refused before service, by reason.",
        Values::Counter(by("reason", &Rejection::ALL, Rejection::label, |why| {
            counted.rejected[why as usize]
        })),
    );
    let errors = ERRNOS.iter().zip(counted.accept_errors);
    add(
        "towline_accept_errors_total",
        "Errors of accept, by kind.",
        Values::Counter(
            errors.map(|(errno, count)| (vec![("errno", (*errno).to_owned())], count)).collect(),
        ),
    );
    let nanos = |state: State| counted.state_nanos[state as usize];
    add(
        "towline_connection_state_seconds_total",
        "Connection-seconds spent in each state, connections still in it included.",
        Values::Seconds(by("state", &State::ALL, State::label, nanos)),
    );
    let waited = |direction| waiting(direction).iter().map(|&state| nanos(state)).sum();
    add(
        "towline_io_wait_seconds_total",
        "Connection-seconds spent waiting for the peer's bytes (read: idle or mid-line) or for the \
         peer to take ours (write: back-pressure), waits still open included.",
        Values::Seconds(by("direction", &DIRECTIONS, |at| at, waited)),
    );
    let waiting = |direction| waiting(direction).iter().map(|&state| open(state)).sum();
    add(
        "towline_io_waiting",
        "Connections waiting for the socket now.",
        Values::Gauge(by("direction", &DIRECTIONS, |at| at, waiting)),
    );
}

fn lines(
    counted: &Counters,
    held: &Gauges,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    add("towline_read_bytes_total", "Bytes read from connections.", one(counted.read_bytes));
    add("towline_written_bytes_total", "Bytes written to connections.", one(counted.written_bytes));
    add(
        "towline_lines_processed_total",
        "Lines by how they ended.",
        Values::Counter(by("result", &LineResult::ALL, LineResult::label, |result| {
            counted.lines_processed[result as usize]
        })),
    );
    add("towline_lines_received_total", "Complete lines received.", one(counted.lines_received));
    add(
        "towline_lines_unterminated_total",
        "Connections that ended in the middle of a line, whose rest was dropped.",
        one(counted.lines_unterminated),
    );
    add(
        "towline_batches_total",
        "Batches of lines received; one is what one read gave.",
        one(counted.batches),
    );
    add(
        "towline_batch_duration_seconds",
        "From a batch's arrival in the line stack to its reply.",
        Values::Histogram(counted.batch_duration.clone()),
    );
    add(
        "towline_concurrency_limit",
        "Permits of the concurrency limit.",
        gauge(held.concurrency_limit as f64),
    );
    add("towline_concurrency_in_use", "Permits in use.", gauge(held.concurrency_in_use as f64));
    add("towline_heartbeats_sent_total", "Pings sent.", one(counted.heartbeats_sent));
    add(
        "towline_heartbeats_missed_total",
        "Pings not answered in time.",
        one(counted.heartbeats_missed),
    );
    add(
        "towline_hashed_bytes_total",
        "Bytes of lines hashed, terminators included.",
        one(counted.hashed_bytes),
    );
    add("towline_hash_seconds_total", "Time spent hashing.", seconds(counted.hash_nanos));
    let bytes = |direction| match direction {
        "read" => held.read_buffer_bytes as f64,
        _ => held.write_buffer_bytes as f64,
    };
    add(
        "towline_buffer_bytes",
        "Bytes held for parked connections: unfinished lines and batches being served (read), unsent \
         replies (write).",
        Values::Gauge(by("direction", &DIRECTIONS, |at| at, bytes)),
    );
}

fn workers(snapshot: &Snapshot, add: &mut impl FnMut(&'static str, &'static str, Values)) {
    let workers = || {
        let label = |at: usize| -> Labels { vec![("worker", at.to_string())] };
        snapshot.workers.iter().enumerate().map(move |(at, worker)| (label(at), worker))
    };
    add(
        "towline_worker_connections",
        "Open connections by worker, a thread that serves lines.",
        Values::Gauge(workers().map(|(label, at)| (label, at.connections as f64)).collect()),
    );
    add(
        "towline_worker_busy_seconds_total",
        "Time a worker's thread was not waiting for work.",
        Values::Seconds(workers().map(|(label, at)| (label, at.busy_nanos.into())).collect()),
    );
    add(
        "towline_worker_restarts_total",
        "Times a process was started again, counted at its first worker.",
        Values::Counter(workers().map(|(label, at)| (label, at.restarts)).collect()),
    );
}

fn kernel(host: &HostFacts, add: &mut impl FnMut(&'static str, &'static str, Values)) {
    let kernel = &host.kernel;
    add(
        "towline_accept_queue_length",
        "Connections in the kernel that wait to be accepted.",
        gauge(kernel.accept_queue.length as f64),
    );
    add(
        "towline_accept_queue_limit",
        "Most connections that may wait there: server.backlog, or what net.core.somaxconn leaves of \
         it.",
        gauge(kernel.accept_queue.limit as f64),
    );
    add(
        "towline_kernel_listen_overflows_total",
        "Connections the kernel refused because an accept queue was full, in this network \
         namespace.",
        one(kernel.listen_overflows),
    );
    add(
        "towline_kernel_listen_drops_total",
        "Connections the kernel dropped before accept, in this network namespace.",
        one(kernel.listen_drops),
    );
    add(
        "towline_kernel_abort_on_memory_total",
        "Connections the kernel aborted for lack of memory, in this network namespace.",
        one(kernel.abort_on_memory),
    );
}

fn process(
    counted: &Counters,
    held: &Gauges,
    host: &HostFacts,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    add("process_cpu_seconds_total", "CPU time used, user and system.", seconds(counted.cpu_nanos));
    add("process_resident_memory_bytes", "Resident memory.", gauge(held.resident_bytes as f64));
    add("process_virtual_memory_bytes", "Virtual memory.", gauge(held.virtual_bytes as f64));
    add("process_open_fds", "Open descriptors.", gauge(held.open_descriptors as f64));
    add("process_max_fds", "Descriptor limit.", gauge(held.max_descriptors as f64));
    add(
        "process_start_time_seconds",
        "When the process began, in seconds since 1970.",
        gauge(host.start_time_seconds),
    );
}
