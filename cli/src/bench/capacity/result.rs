//! The result of a run: the JSON object of `--json`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bench::host::Host;
use crate::exit;

/// The whole result.
#[derive(Debug, Serialize)]
pub(super) struct Capacity {
    #[serde(rename = "verdict")]
    pub(super) outcome: Outcome,
    /// A sentence for each requirement that was missed.
    pub(super) against: Vec<String>,
    pub(super) requested: u32,
    /// Connections that both ends had at the end of the hold.
    pub(super) held: u64,
    /// The limit that was met, when fewer connections were held than requested.
    pub(super) first_wall: Option<Met>,
    pub(super) doctor: Doctor,
    #[serde(flatten)]
    pub(super) ran: Ran,
    /// Kernel counters that grew.
    pub(super) kernel: BTreeMap<String, u64>,
    pub(super) host: Host,
    pub(super) notes: Vec<String>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// All connections were held, and every line was answered in time.
    Passed,
    /// A connection or a line was lost, or a reply was late.
    Failed,
    /// This host holds fewer connections than requested.
    NotReached,
}

impl Outcome {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Passed => exit::CLEAN,
            Self::Failed => exit::FAILED,
            Self::NotReached => exit::MISSED,
        }
    }
}

/// A limit that was met, by doctor's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Met {
    pub(super) name: &'static str,
    pub(super) evidence: String,
}

/// The prediction beside the measurement.
#[derive(Debug, Serialize)]
pub(super) struct Doctor {
    /// The most connections that are possible; null when doctor could not tell.
    pub(super) largest: Option<u64>,
    pub(super) processes: u64,
    /// What this run should reach: the smaller of `largest` and what was requested.
    pub(super) expected: u64,
    /// How far the connections held are from `expected`.
    pub(super) difference_percent: f64,
    /// The first limit that more processes do not raise.
    pub(super) first_wall: Option<&'static str>,
    pub(super) answer: String,
}

/// The figures of a run.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    pub(super) established: u64,
    pub(super) failed: u64,
    /// Closed by the server, which should close none.
    pub(super) closed_early: u64,
    pub(super) ramp: Ramp,
    pub(super) held_seconds: f64,
    pub(super) lines_sent: u64,
    /// Replies that were compared.
    pub(super) lines_checked: u64,
    pub(super) lines_lost: u64,
    pub(super) lines_wrong: u64,
    /// From the time at which a line was due to its reply.
    pub(super) latency_us: Latencies,
    pub(super) heartbeats_sent: f64,
    pub(super) heartbeats_missed: f64,
    pub(super) memory: Memory,
    /// With the supervisor, if there is one.
    pub(super) server_processes: u32,
    pub(super) generator_processes: u32,
    pub(super) server_cpu_seconds: f64,
    pub(super) generator_cpu_seconds: f64,
}

/// The ramp: how connections were made.
#[derive(Debug, Serialize)]
pub(super) struct Ramp {
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) curve: Vec<Point>,
    pub(super) connect_p99_us: u64,
}

/// Connections open at a time after the first connect.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Point {
    pub(super) seconds: f64,
    pub(super) connections: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Latencies {
    pub(super) count: u64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) p999: u64,
    pub(super) max: u64,
}

/// Memory at the end of the hold. "Per connection" is the growth since before the first connect,
/// negative where memory shrank; resident memory is without program text, which processes share.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) server_bytes_per_connection: f64,
    pub(super) server_resident_bytes: f64,
    /// Includes all memory of its worker processes, which start with the ramp.
    pub(super) generator_bytes_per_connection: f64,
    pub(super) generator_resident_bytes: f64,
    /// Kernel objects of both ends.
    pub(super) slab_bytes_per_connection: f64,
    /// Decrease of the host's available memory beyond what the processes took.
    pub(super) kernel_bytes_per_connection: f64,
    /// Decrease of the host's available memory.
    pub(super) available_bytes_per_connection: f64,
    pub(super) available_bytes_left: f64,
}
