//! The table and its cells: the JSON object of `--json`.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::column::Article;
use super::diagnosis::Diagnosis;
use crate::bench::host::Host;
use crate::exit;

/// Exit code: a reply was wrong.
const WRONG_REPLIES: u8 = 4;

/// How each figure is computed, by the name of its row.
const FORMULAS: [(&str, &str); 9] = [
    (
        "connections",
        "connections established; in brackets those that failed or that the server closed",
    ),
    (
        "data sent, received",
        "bytes that the generator wrote to and read from its sockets, in MiB (2^20 bytes)",
    ),
    (
        "per connection",
        "(sent + received) / seconds / connections, in 1000 bytes per second, both directions; \
      the article's columns 3 and 4 do not follow from its own sums (those give 2.23 and 1.09)",
    ),
    ("bandwidth", "bytes x 8 / seconds, in millions of bits per second"),
    (
        "packets",
        "tcpkali's estimate: calls x ceil(bytes / calls / 1460) / seconds, where a call is a read or a write",
    ),
    (
        "I/O wait",
        "seconds in which connections waited to read or write / seconds in which they were open, both \
      counted by the server; the article's figures are shares of a runtime trace",
    ),
    ("CPU", "user and system time of the servers and of the generator / seconds: cores used"),
    ("lines per CPU-second", "lines the servers processed / CPU seconds they used"),
    (
        "memory",
        "resident memory of the servers at the end of the load, less that before the first \
      connection, per connection; without program text, with the buffers of the flood",
    ),
];

/// Our table beside the article's.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    pub(super) host: Host,
    /// Fraction of the article's connections.
    pub(super) scale: f64,
    pub(super) duration_seconds: f64,
    pub(super) columns: Vec<Cells>,
    pub(super) formulas: BTreeMap<&'static str, &'static str>,
    pub(super) interrupted: bool,
}

/// A column: our figures, the article's, and what limited ours.
#[derive(Debug, Serialize)]
pub(super) struct Cells {
    pub(super) number: u8,
    pub(super) name: &'static str,
    /// The name, with the connections really made.
    #[serde(skip)]
    pub(super) title: String,
    pub(super) profile: &'static str,
    pub(super) article: Article,
    /// Our figures; absent when the column could not be run.
    pub(super) measured: Option<Measured>,
    #[serde(rename = "verdict")]
    pub(super) diagnosis: Diagnosis,
}

/// The figures of a column.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) connections: towline_load::ConnectionCounts,
    pub(super) ramp_seconds: f64,
    /// From the first connect to the end of the load.
    pub(super) whole: Stretch,
    /// From the end of the ramp to the end of the load: the window that tcpkali reports.
    pub(super) after_ramp: Stretch,
    pub(super) server: ServerSide,
    pub(super) generator: towline_load::GeneratorStats,
    pub(super) verify: towline_load::Verification,
    /// Kernel counters that grew during the run.
    pub(super) kernel: BTreeMap<String, u64>,
    /// Whether any grew: the run was disturbed, and so are its figures.
    pub(super) marked: bool,
    pub(super) notes: Vec<String>,
}

/// The figures of a part of the run.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Stretch {
    pub(super) seconds: f64,
    pub(super) sent_mib: f64,
    pub(super) received_mib: f64,
    pub(super) lines_per_second: f64,
    pub(super) per_connection_kbps: f64,
    pub(super) mbps_down: f64,
    pub(super) mbps_up: f64,
    pub(super) packets_down: f64,
    pub(super) packets_up: f64,
    /// Shares of the time in which connections were open, from the server's metrics.
    pub(super) read_wait_share: f64,
    pub(super) write_wait_share: f64,
    pub(super) server_cpu_seconds: f64,
    pub(super) server_lines_per_cpu_second: f64,
    /// Cores that the servers' threads used, and those they waited for.
    pub(super) server_cores_used: f64,
    pub(super) server_cores_wanted: f64,
}

/// The servers of a column.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct ServerSide {
    pub(super) processes: u32,
    /// Threads that serve lines, in all processes.
    pub(super) threads: u32,
    /// Growth of the resident memory; negative where it shrank.
    pub(super) bytes_per_connection: f64,
    pub(super) longest_accept_queue: f64,
}

impl Table {
    pub(super) fn new(scale: f64, duration: Duration) -> Self {
        Self {
            host: Host::read(),
            scale,
            duration_seconds: duration.as_secs_f64(),
            columns: Vec::new(),
            formulas: FORMULAS.into(),
            interrupted: false,
        }
    }

    /// 4 when a reply was wrong, 1 when a column could not be measured, else 0.
    pub(super) fn exit_code(&self) -> u8 {
        let wrong = |m: &Measured| m.verify.failures() > 0;
        if self.columns.iter().filter_map(|c| c.measured.as_ref()).any(wrong) {
            return WRONG_REPLIES;
        }
        if self.columns.iter().any(|c| c.measured.is_none()) { exit::FAILED } else { exit::CLEAN }
    }
}
