//! What a run came to: the object that `--json` prints, and everything made from it.

mod assertion;
mod build;
mod hdr;
mod html;
mod merge;
mod svg;
mod text;
mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use assertion::Assertion;
pub use text::TextReport;
pub use verdict::RunVerdict;

use crate::histogram::Hist;

/// The result of a run. Serialises to the JSON object of `towline load --json`.
///
/// `lines`, `bytes`, `rates` and `seconds` are of the whole run, from the first connect to the last
/// reply; `after_ramp` has the figures between the end of the ramp and the end of the load, which is
/// what tcpkali prints.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Where the load went.
    pub target: String,
    /// When the first connect was made, in seconds since 1970.
    pub started_unix: f64,
    /// `flood`, `ping-pong`, `paced` or `idle`; `mixed` for merged reports of different modes.
    pub mode: String,
    /// Bytes of the message as the first connection first sent it.
    pub message_bytes: u64,
    /// What became of the connections.
    pub connections: ConnectionCounts,
    /// From the first connect until every connect had ended.
    pub ramp_seconds: f64,
    /// From the first connect to the end of the load, or to the last reply after it.
    pub seconds: f64,
    /// Whole lines.
    pub lines: Traffic,
    /// Bytes.
    pub bytes: Traffic,
    /// System calls that sent or received bytes.
    pub calls: Traffic,
    /// Over `seconds`.
    pub rates: Rates,
    /// From send to reply; in paced mode from when the line was due to its reply. In flood mode one
    /// line in flight per connection is timed.
    pub latency_us: Latency,
    /// Paced only: from send to reply, which hides the time a line had to wait to be sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Latency>,
    /// Paced only: from when the line was due to its reply; the same as `latency_us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Latency>,
    /// From connect to established.
    pub connect_us: Latency,
    /// What verification found; all zero when it was not asked for.
    pub verify: Verification,
    /// Faults by the stage they happened in.
    pub errors: ErrorCounts,
    /// Failed connects by kind; only kinds that occurred.
    pub connect_errors: BTreeMap<String, u64>,
    /// `ERR …` lines by kind; only kinds that occurred.
    pub error_lines: BTreeMap<String, u64>,
    /// Heartbeats of the server, taken out of the replies.
    pub heartbeats: u64,
    /// Between the end of the ramp and the end of the load.
    pub after_ramp: Period,
    /// How evenly replies fell on the connections.
    pub spread: Spread,
    /// The generator itself.
    pub generator: GeneratorStats,
    /// Bad clients, by role.
    #[serde(default, rename = "personas", skip_serializing_if = "Vec::is_empty")]
    pub bad_clients: Vec<BadClientReport>,
    /// Whether the run was stopped before its time.
    pub interrupted: bool,
    /// What a reader should know, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The course of the run.
    pub timeline: Vec<TimelineInterval>,
    /// The histograms behind the figures, so that reports can be merged exactly.
    pub histograms: Histograms,
}

/// What became of the connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Asked for.
    pub requested: u64,
    /// Made.
    pub established: u64,
    /// Not made.
    pub failed: u64,
    /// Ended by the server while the load was on.
    pub closed_early: u64,
}

/// Both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// To the target.
    pub sent: u64,
    /// From the target.
    pub received: u64,
}

/// Figures per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Lines received a second.
    pub lines_per_second: f64,
    /// Bits sent a second, in millions.
    pub mbps_up: f64,
    /// Bits received a second, in millions.
    pub mbps_down: f64,
    /// Thousands of bytes a second per connection made, both directions together (tcpkali's kBps).
    pub per_connection_kbps: f64,
}

/// A latency distribution in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the statistics")]
pub struct Latency {
    pub count: u64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p999: u64,
    pub max: u64,
    pub mean: f64,
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Replies compared with what was expected.
    pub checked: u64,
    /// Replies that did not belong where they came: corrupted, duplicated or reordered.
    pub mismatched: u64,
    /// Lines that never had their reply, although the server went on or fell silent.
    pub missing: u64,
    /// Of the mismatched: no line that was sent.
    pub corrupted: u64,
    /// Of the mismatched: more often than it was sent.
    pub duplicated: u64,
    /// Of the mismatched: after a later line's reply.
    pub reordered: u64,
    /// Lines without a reply when their connection, or the time to drain, ended: nobody can say
    /// whether the server had taken them.
    pub unanswered: u64,
    /// The first mismatches in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

/// Faults by the stage they happened in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Connects that failed.
    pub connect: u64,
    /// Connections the server reset.
    pub reset: u64,
    /// Replies that did not come in time (ping-pong).
    pub timeout: u64,
    /// Connections the server closed.
    pub closed: u64,
    /// Lines that were due but could not be sent (paced).
    pub unsent: u64,
}

/// The run between two moments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// How long.
    pub seconds: f64,
    /// Whole lines.
    pub lines: Traffic,
    /// Bytes.
    pub bytes: Traffic,
    /// System calls that sent or received bytes.
    pub calls: Traffic,
    /// Over `seconds`.
    pub rates: Rates,
    /// As the report's `latency_us`.
    pub latency_us: Latency,
}

/// Replies per connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the statistics")]
pub struct Spread {
    pub min: u64,
    pub p1: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
    /// Jain's fairness index: 1 when all got the same, 1/n when one got everything.
    pub jain: f64,
    /// Σ x, for merging.
    pub sum: f64,
    /// Σ x², for merging.
    pub squares: f64,
}

/// The generator itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorStats {
    /// Processes it ran in.
    pub processes: u32,
    /// Event loops, each a thread.
    pub threads: u32,
    /// CPU time of all event loops.
    pub cpu_seconds: f64,
    /// Whether the generator was the bottleneck: a loop that never found time to sleep.
    pub saturated: bool,
    /// Bytes each flooding connection was allowed to have unanswered, where there was a bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_bytes: Option<u64>,
    /// The busiest loop after the ramp: not asleep, on a CPU, waiting for a CPU; shares of the time.
    pub busiest: BTreeMap<String, f64>,
    /// How late due lines were sent (paced), in microseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_us: Option<Latency>,
}

/// What the bad clients of a role did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadClientReport {
    /// The role as `--mix` spells it.
    #[serde(rename = "role")]
    pub behavior: String,
    /// Its figures.
    #[serde(flatten)]
    pub counters: crate::counters::BadClientCounters,
}

/// An interval of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TimelineInterval {
    /// When it began, in seconds since the first connect.
    pub at: f64,
    /// Its length in seconds.
    pub seconds: f64,
    /// Connections open at its end.
    pub connections: u64,
    /// Lines.
    pub lines: Traffic,
    /// Bytes.
    pub bytes: Traffic,
    /// Microseconds; 0 when no line was timed.
    pub p50_us: u64,
    /// Microseconds.
    pub p99_us: u64,
    /// Microseconds.
    pub max_us: u64,
    /// The interval's histogram of nanoseconds (base64, V2 compressed).
    pub histogram: String,
}

/// Histograms of nanoseconds, and one of lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Histograms {
    /// Behind `latency_us`.
    pub latency: Hist,
    /// Behind `after_ramp.latency_us`.
    pub after_ramp: Hist,
    /// Behind `service_us`; empty unless paced.
    pub service: Hist,
    /// Behind `connect_us`.
    pub connect: Hist,
    /// Behind `spread`: replies per connection.
    pub lines_per_connection: Hist,
}
