//! What a run came to: the JSON object that `--json` prints.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bench::host::Host;
use crate::exit;

/// The whole result.
#[derive(Debug, Serialize)]
pub(super) struct Capacity {
    pub(super) verdict: Verdict,
    /// A sentence for everything that speaks against it.
    pub(super) against: Vec<String>,
    pub(super) requested: u32,
    /// Connections that both ends had at the end.
    pub(super) held: u64,
    /// What ended the growth, when it ended before what was asked for.
    pub(super) first_wall: Option<Met>,
    pub(super) doctor: Doctor,
    #[serde(flatten)]
    pub(super) ran: Ran,
    /// Counters of the kernel that moved.
    pub(super) kernel: BTreeMap<String, u64>,
    pub(super) host: Host,
    pub(super) notes: Vec<String>,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// All were held, and every line was answered in time.
    Passed,
    /// Something was lost, cut or late.
    Failed,
    /// This host holds fewer than were asked for.
    NotReached,
}

impl Verdict {
    pub(super) fn exit_code(self) -> u8 {
        match self {
            Self::Passed => exit::CLEAN,
            Self::Failed => exit::FAILED,
            Self::NotReached => exit::MISSED,
        }
    }
}

/// A wall that was met, by doctor's name for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Met {
    pub(super) name: &'static str,
    pub(super) evidence: String,
}

/// The prediction beside the measurement.
#[derive(Debug, Serialize)]
pub(super) struct Doctor {
    /// The most there can be; null when doctor could not tell.
    pub(super) largest: Option<u64>,
    pub(super) processes: u64,
    /// What this run should reach: that, or what was asked for if it is fewer.
    pub(super) expected: u64,
    /// Held against expected.
    pub(super) difference_percent: f64,
    /// The wall that decides.
    pub(super) first_wall: Option<&'static str>,
    pub(super) answer: String,
}

/// The figures.
#[derive(Debug, Serialize)]
pub(super) struct Ran {
    pub(super) established: u64,
    pub(super) failed: u64,
    /// Ended by the server although they should not have been.
    pub(super) closed_early: u64,
    pub(super) ramp: Ramp,
    pub(super) held_seconds: f64,
    pub(super) lines_sent: u64,
    /// Answers that were compared.
    pub(super) lines_checked: u64,
    pub(super) lines_lost: u64,
    pub(super) lines_wrong: u64,
    /// From when a line was due to its answer.
    pub(super) latency_us: Latencies,
    pub(super) heartbeats_sent: f64,
    pub(super) heartbeats_missed: f64,
    pub(super) memory: Memory,
    /// The supervisor included, if there is one.
    pub(super) server_processes: u32,
    pub(super) generator_processes: u32,
    pub(super) server_cpu_seconds: f64,
    pub(super) generator_cpu_seconds: f64,
}

/// How connections were made.
#[derive(Debug, Serialize)]
pub(super) struct Ramp {
    pub(super) seconds: f64,
    pub(super) per_second: f64,
    pub(super) curve: Vec<Point>,
    pub(super) connect_p99_us: u64,
}

/// A point of the ramp.
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

/// Memory at the end of the hold. Per connection is what was added since before the first connect;
/// resident memory is without the program text that processes share.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    pub(super) server_bytes_per_connection: f64,
    pub(super) server_resident_bytes: f64,
    /// Its worker processes, which start with the ramp, are in it whole.
    pub(super) generator_bytes_per_connection: f64,
    pub(super) generator_resident_bytes: f64,
    /// Kernel objects of both ends.
    pub(super) slab_bytes_per_connection: f64,
    /// What the host can give less than before, beyond what processes took.
    pub(super) kernel_bytes_per_connection: f64,
    /// What the host can give less than before, in all.
    pub(super) available_bytes_per_connection: f64,
    pub(super) available_bytes_left: f64,
}
