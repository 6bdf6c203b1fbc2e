//! Every metric: its name, its meaning, its labels and where its value comes from.

use std::sync::atomic::Ordering::Relaxed;

use metrics::{Counter, Gauge, Key, KeyName, Label, Level, Metadata, Recorder};
use towline_config::{FlushPolicy, Framing, WorkloadKind};
use towline_middleware::stats::{
    CloseReason, HistogramSnapshot, LineResult, Nanos, State, StateSnapshot, Stats,
};

use super::Sources;
use crate::{accept::ERRNOS, lifecycle::Stage, shared::Shared};

/// A label's name and value; both closed sets, never a peer's doing.
type Labels = Vec<(&'static str, String)>;

/// One metric with all its series, which are the same at every scrape.
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    pub(super) values: Values,
}

pub(super) enum Values {
    /// Whole numbers that only grow.
    Counter(Vec<(Labels, u64)>),
    Gauge(Vec<(Labels, f64)>),
    /// Nanoseconds that only grow, published as seconds.
    Seconds(Vec<(Labels, u128)>),
    Histogram(HistogramSnapshot),
}

/// All of them, as of one moment.
pub(super) struct Families(pub(super) Vec<Family>);

fn one(value: impl Into<u64>) -> Values {
    Values::Counter(vec![(Labels::new(), value.into())])
}

fn gauge(value: impl Into<f64>) -> Values {
    Values::Gauge(vec![(Labels::new(), value.into())])
}

fn by<T: Copy, N>(
    name: &'static str,
    labels: &[T],
    label: impl Fn(T) -> &'static str,
    value: impl Fn(T) -> N,
) -> Vec<(Labels, N)> {
    labels.iter().map(|&at| (vec![(name, label(at).to_owned())], value(at))).collect()
}

/// The states of a connection that wait for the socket, by direction.
fn waiting(direction: &str) -> &'static [State] {
    match direction {
        "read" => &[State::Idle, State::ReadWait],
        _ => &[State::WriteWait],
    }
}

const DIRECTIONS: [&str; 2] = ["read", "write"];

impl Families {
    /// Reads everything.
    pub(super) fn read(shared: &Shared, sources: &Sources) -> Self {
        let mut states = StateSnapshot::default();
        for stats in &shared.stats {
            states.merge(&stats.states.snapshot());
        }
        // After the snapshot, so that no change in it lies in the future.
        let now = shared.stats.first().map_or(Nanos(0), |stats| stats.now());

        let mut families = Vec::with_capacity(48);
        let mut add = |name, help, values| families.push(Family { name, help, values });
        Self::about(shared, &mut add);
        Self::connections(shared, &states, now, &mut add);
        Self::lines(shared, &mut add);
        Self::host(shared, sources, &mut add);
        Self(families)
    }

    fn about(shared: &Shared, add: &mut impl FnMut(&'static str, &'static str, Values)) {
        let settings = &shared.settings;
        let workload = match settings.workload.kind {
            WorkloadKind::Echo => "echo",
            WorkloadKind::Sha256 => "sha256",
        };
        let framing = match settings.workload.framing {
            Framing::Batch => "batch",
            Framing::Lines => "lines",
        };
        let flush = match settings.flush.policy {
            FlushPolicy::Auto => "auto".to_owned(),
            FlushPolicy::Line => "line".to_owned(),
            FlushPolicy::Every(lines) => format!("every:{lines}"),
        };
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("revision", option_env!("TOWLINE_REVISION").unwrap_or("unknown").to_owned()),
        ];
        let config = vec![
            ("workload", workload.to_owned()),
            ("framing", framing.to_owned()),
            ("flush", flush),
        ];
        add(
            "towline_build_info",
            "The running binary; always 1.",
            Values::Gauge(vec![(build, 1.0)]),
        );
        add(
            "towline_config_info",
            "The configured workload; always 1.",
            Values::Gauge(vec![(config, 1.0)]),
        );
        add(
            "towline_draining",
            "1 from the signal to stop on, else 0.",
            gauge(u32::from(shared.life.is(Stage::Draining))),
        );
    }

    fn connections(
        shared: &Shared,
        states: &StateSnapshot,
        now: Nanos,
        add: &mut impl FnMut(&'static str, &'static str, Values),
    ) {
        let open = |state: State| states.connections[state as usize] as f64;
        let sum = |at: &[State]| at.iter().map(|&state| open(state)).sum::<f64>();
        add(
            "towline_connections",
            "Open connections by what they are doing; the states are exclusive.",
            Values::Gauge(by("state", &State::ALL, State::label, open)),
        );
        add("towline_connections_active", "Open connections.", gauge(states.open() as f64));
        add(
            "towline_connections_limit",
            "Most connections this server holds.",
            gauge(shared.slots.limit() as f64),
        );
        add(
            "towline_connections_accepted_total",
            "Connections that entered service.",
            one(states.accepted),
        );
        add(
            "towline_connections_closed_total",
            "Connections that ended, by reason.",
            Values::Counter(by("reason", &CloseReason::ALL, CloseReason::label, |reason| {
                states.closed[reason as usize]
            })),
        );
        let rejected = vec![(
            vec![("reason", "max_connections".to_owned())],
            shared.accept.rejected.load(Relaxed),
        )];
        add(
            "towline_connections_rejected_total",
            "Connections refused before service, by reason.",
            Values::Counter(rejected),
        );
        let errors = ERRNOS
            .iter()
            .zip(&shared.accept.errors)
            .map(|(errno, count)| (vec![("errno", (*errno).to_owned())], count.load(Relaxed)));
        add(
            "towline_accept_errors_total",
            "Errors of accept, by kind.",
            Values::Counter(errors.collect()),
        );
        add(
            "towline_connection_state_seconds_total",
            "Connection-seconds spent in each state, connections still in it included.",
            Values::Seconds(by("state", &State::ALL, State::label, |state| {
                states.nanos_in(state, now)
            })),
        );
        add(
            "towline_io_wait_seconds_total",
            "Connection-seconds spent waiting for the peer's bytes (read: idle or mid-line) or for \
             the peer to take ours (write: back-pressure), waits still open included.",
            Values::Seconds(by(
                "direction",
                &DIRECTIONS,
                |at| at,
                |direction| {
                    waiting(direction).iter().map(|&state| states.nanos_in(state, now)).sum()
                },
            )),
        );
        add(
            "towline_io_waiting",
            "Connections waiting for the socket now.",
            Values::Gauge(by(
                "direction",
                &DIRECTIONS,
                |at| at,
                |direction| sum(waiting(direction)),
            )),
        );
    }

    fn lines(shared: &Shared, add: &mut impl FnMut(&'static str, &'static str, Values)) {
        let total =
            |read: &dyn Fn(&Stats) -> u64| shared.stats.iter().map(|s| read(s)).sum::<u64>();
        let nanos = |read: &dyn Fn(&Stats) -> u64| {
            Values::Seconds(vec![(Labels::new(), u128::from(total(read)))])
        };
        add(
            "towline_read_bytes_total",
            "Bytes read from connections.",
            one(total(&|s| s.read_bytes.get())),
        );
        add(
            "towline_written_bytes_total",
            "Bytes written to connections.",
            one(total(&|s| s.written_bytes.get())),
        );
        // Processed before received: a line that is counted in between is received and not yet
        // processed, never the other way round.
        let processed = by("result", &LineResult::ALL, LineResult::label, |result| {
            total(&|s| s.lines_processed[result as usize].get())
        });
        add(
            "towline_lines_processed_total",
            "Lines by how they ended.",
            Values::Counter(processed),
        );
        add(
            "towline_lines_received_total",
            "Complete lines received.",
            one(total(&|s| s.lines_received.get())),
        );
        add(
            "towline_lines_unterminated_total",
            "Connections that ended in the middle of a line, whose rest was dropped.",
            one(total(&|s| s.unterminated_lines.get())),
        );
        add(
            "towline_batches_total",
            "Batches of lines received; one is what one read gave.",
            one(total(&|s| s.batches.get())),
        );
        let mut durations = HistogramSnapshot::default();
        for stats in &shared.stats {
            durations.merge(&stats.batch_duration.snapshot());
        }
        add(
            "towline_batch_duration_seconds",
            "From a batch's arrival in the line stack to its reply.",
            Values::Histogram(durations),
        );
        let limit = shared.settings.limits.concurrency.get();
        let in_use = f64::from(limit) - shared.permits.available_permits() as f64;
        add("towline_concurrency_limit", "Permits of the concurrency limit.", gauge(limit));
        add("towline_concurrency_in_use", "Permits in use.", gauge(in_use.max(0.0)));
        add(
            "towline_heartbeats_sent_total",
            "Pings sent.",
            one(total(&|s| s.heartbeats_sent.get())),
        );
        add(
            "towline_heartbeats_missed_total",
            "Pings not answered in time.",
            one(total(&|s| s.heartbeats_missed.get())),
        );
        add(
            "towline_hashed_bytes_total",
            "Bytes of lines hashed, terminators included.",
            one(total(&|s| s.hashed_bytes.get())),
        );
        add("towline_hash_seconds_total", "Time spent hashing.", nanos(&|s| s.hash_nanos.get()));
        let held = |direction: &str| {
            let held = shared.stats.iter().map(|stats| match direction {
                "read" => stats.read_buffer_bytes.get(),
                _ => stats.write_buffer_bytes.get(),
            });
            held.sum::<i64>() as f64
        };
        add(
            "towline_buffer_bytes",
            "Bytes held for parked connections: unfinished lines (read), unsent replies (write).",
            Values::Gauge(by("direction", &DIRECTIONS, |at| at, held)),
        );
    }

    fn host(
        shared: &Shared,
        sources: &Sources,
        add: &mut impl FnMut(&'static str, &'static str, Values),
    ) {
        let worker = |at: usize| vec![("worker", at.to_string())];
        let connections = (0..shared.slots.shards())
            .map(|at| (worker(at), shared.slots.by_shard(at) as f64))
            .collect();
        add("towline_worker_connections", "Open connections by shard.", Values::Gauge(connections));
        let busy = shared
            .runtimes
            .iter()
            .enumerate()
            .map(|(at, runtime)| {
                (worker(at), runtime.metrics().worker_total_busy_duration(0).as_nanos())
            })
            .collect();
        add(
            "towline_worker_busy_seconds_total",
            "Time a shard's thread was not waiting for work.",
            Values::Seconds(busy),
        );
        let kernel = sources.kernel.read(shared.port);
        add(
            "towline_accept_queue_length",
            "Connections in the kernel that wait to be accepted.",
            gauge(kernel.accept_queue as f64),
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
        let process = sources.process.read();
        add(
            "process_cpu_seconds_total",
            "CPU time used, user and system.",
            Values::Seconds(vec![(Labels::new(), u128::from(process.cpu_nanos))]),
        );
        add("process_resident_memory_bytes", "Resident memory.", gauge(process.resident_bytes));
        add("process_virtual_memory_bytes", "Virtual memory.", gauge(process.virtual_bytes));
        add("process_open_fds", "Open descriptors.", gauge(process.open_descriptors));
        add("process_max_fds", "Descriptor limit.", gauge(process.max_descriptors));
        add(
            "process_start_time_seconds",
            "When the process began, in seconds since 1970.",
            gauge(process.start_time_seconds),
        );
    }
}

/// The façade's handles, in the order of the families' values.
pub(super) struct Handles {
    counters: Vec<Counter>,
    gauges: Vec<Gauge>,
}

impl Handles {
    /// Registers every series with the façade's recorder.
    pub(super) fn new(recorder: &impl Recorder, families: &Families) -> Self {
        const METADATA: Metadata<'static> = Metadata::new("towline", Level::INFO, None);
        let key = |name: &'static str, labels: &Labels| {
            let labels = labels.iter().map(|(name, value)| Label::new(*name, value.clone()));
            Key::from_parts(name, labels.collect::<Vec<_>>())
        };
        let (mut counters, mut gauges) = (Vec::new(), Vec::new());
        for Family { name, help, values } in &families.0 {
            let described = KeyName::from_const_str(name);
            match values {
                Values::Counter(series) => {
                    recorder.describe_counter(described, None, (*help).into());
                    counters.extend(series.iter().map(|(labels, _)| {
                        recorder.register_counter(&key(name, labels), &METADATA)
                    }));
                }
                Values::Gauge(series) => {
                    recorder.describe_gauge(described, None, (*help).into());
                    gauges.extend(
                        series.iter().map(|(labels, _)| {
                            recorder.register_gauge(&key(name, labels), &METADATA)
                        }),
                    );
                }
                Values::Seconds(_) | Values::Histogram(_) => {}
            }
        }
        Self { counters, gauges }
    }

    /// Sets every series to its value now.
    pub(super) fn set(&self, families: &Families) {
        let (mut counters, mut gauges) = (self.counters.iter(), self.gauges.iter());
        for Family { values, .. } in &families.0 {
            match values {
                Values::Counter(series) => {
                    for ((_, value), counter) in series.iter().zip(&mut counters) {
                        counter.absolute(*value);
                    }
                }
                Values::Gauge(series) => {
                    for ((_, value), gauge) in series.iter().zip(&mut gauges) {
                        gauge.set(*value);
                    }
                }
                Values::Seconds(_) | Values::Histogram(_) => {}
            }
        }
    }
}
