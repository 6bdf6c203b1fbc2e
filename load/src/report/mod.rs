//! The report of a run: the object that `--json` prints, and its other forms.

mod assertion;
mod build;
mod entry;
mod fanout;
mod hdr;
mod html;
mod kinds;
mod merge;
mod svg;
mod text;
mod tls;
mod verdict;
mod verification;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use assertion::Assertion;
pub use fanout::FanoutReport;
pub use text::TextReport;
pub use tls::{TlsEnds, TlsReport};
pub use verdict::RunVerdict;
pub use verification::Verification;

use crate::histogram::Hist;

/// The report of a run. Serializes to the JSON object of `towline load --json`.
///
/// `lines`, `bytes`, `rates` and `seconds` cover the whole run, from the first connect to the last
/// reply. `after_ramp` covers the time between the end of the ramp and the end of the load, as tcpkali
/// does.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The targets, separated by commas.
    pub target: String,
    /// When the run started, in seconds since 1970.
    pub started_unix: f64,
    /// `flood`, `ping-pong`, `paced`, `idle` or `fanout`; `mixed` for merged reports of different modes.
    pub mode: String,
    /// Bytes of the first message of the first connection.
    pub message_bytes: u64,
    /// Connections by outcome.
    pub connections: ConnectionCounts,
    /// From the first connect until every connect had succeeded or failed.
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
    /// From send to reply, in a fan-out from publisher to subscriber; in paced mode from when the line was due to its reply. In flood mode one
    /// line in flight per connection is timed. `ERR …` lines are not in it.
    pub latency_us: Latency,
    /// As `latency_us`, to the `ERR …` lines that came in place of replies; only if some were timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_latency_us: Option<Latency>,
    /// Paced mode only: from send to reply. Leaves out the time by which a line was sent late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_us: Option<Latency>,
    /// Paced mode only: from when the line was due to its reply; the same as `latency_us`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_us: Option<Latency>,
    /// From connect to established.
    pub connect_us: Latency,
    /// Fan-out only: who published and subscribed. Then a line is a message: published, or received by a
    /// subscriber.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fanout: Option<FanoutReport>,
    /// Over TLS only: handshakes, errors and ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsReport>,
    /// What verification found; all zero without `--verify`, but for `unanswered`.
    pub verify: Verification,
    /// Errors by the stage in which they happened.
    pub errors: ErrorCounts,
    /// Failed connects by kind; only the kinds that occurred.
    pub connect_errors: BTreeMap<String, u64>,
    /// `ERR …` lines by kind; only the kinds that occurred.
    pub error_lines: BTreeMap<String, u64>,
    /// Heartbeats of the server, which are not counted as replies.
    pub heartbeats: u64,
    /// Between the end of the ramp and the end of the load.
    pub after_ramp: Period,
    /// Replies per connection: how evenly the server treated them.
    pub spread: Spread,
    /// The generator's own resources.
    pub generator: GeneratorStats,
    /// Bad clients, by behavior.
    #[serde(default, rename = "personas", skip_serializing_if = "Vec::is_empty")]
    pub bad_clients: Vec<BadClientReport>,
    /// Whether the run was interrupted.
    pub interrupted: bool,
    /// Remarks that the figures alone do not show.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// The run by interval.
    pub timeline: Vec<TimelineInterval>,
    /// The histograms of the figures, so that reports can be merged exactly.
    pub histograms: Histograms,
}

/// Connections by outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionCounts {
    /// Requested.
    pub requested: u64,
    /// Established.
    pub established: u64,
    /// Failed to connect.
    pub failed: u64,
    /// Ended by the server during the run.
    pub closed_early: u64,
}

/// An amount in both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// To the target.
    pub sent: u64,
    /// From the target.
    pub received: u64,
}

/// Rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Lines received per second.
    pub lines_per_second: f64,
    /// Megabits sent per second.
    pub mbps_up: f64,
    /// Megabits received per second.
    pub mbps_down: f64,
    /// Kilobytes per second and established connection, both directions together (tcpkali's kBps).
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

/// Errors by the stage in which they happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCounts {
    /// Failed connects.
    pub connect: u64,
    /// Connections that the server reset.
    pub reset: u64,
    /// Replies that did not arrive within the reply timeout (ping-pong).
    pub timeout: u64,
    /// Connections that the server closed.
    pub closed: u64,
    /// Lines that were due but could not be sent (paced mode).
    pub unsent: u64,
}

/// The figures of a part of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Period {
    /// Its length.
    pub seconds: f64,
    /// Whole lines.
    pub lines: Traffic,
    /// Bytes.
    pub bytes: Traffic,
    /// System calls that sent or received bytes.
    pub calls: Traffic,
    /// Over `seconds`.
    pub rates: Rates,
    /// As `latency_us` of the report.
    pub latency_us: Latency,
}

/// The distribution of replies over connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the statistics")]
pub struct Spread {
    pub min: u64,
    pub p1: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
    /// Jain's fairness index: 1 if all connections got the same, 1/n if one of n got everything.
    pub jain: f64,
    /// Σ x, for merging.
    pub sum: f64,
    /// Σ x², for merging.
    pub squares: f64,
}

/// The generator's own resources.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GeneratorStats {
    /// Processes.
    pub processes: u32,
    /// Event loops, each on a thread.
    pub threads: u32,
    /// CPU time of all event loops.
    pub cpu_seconds: f64,
    /// Whether the generator was the bottleneck: an event loop had work waiting almost all the time.
    pub saturated: bool,
    /// The limit of unanswered bytes of each flooding connection, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight_bytes: Option<u64>,
    /// The busiest event loop after the ramp: the fractions of the time in which it was awake, on a CPU,
    /// and waiting for a CPU.
    pub busiest: BTreeMap<String, f64>,
    /// Microseconds by which due lines were sent late (paced mode).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_us: Option<Latency>,
}

/// What the bad clients of one behavior did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BadClientReport {
    /// The behavior as `--mix` spells it.
    #[serde(rename = "role")]
    pub behavior: String,
    /// Their counts.
    #[serde(flatten)]
    pub counters: crate::counters::BadClientCounters,
}

/// An interval of the run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TimelineInterval {
    /// When it began, in seconds since the start of the run.
    pub at: f64,
    /// Its length in seconds.
    pub seconds: f64,
    /// Connections open at its end.
    pub connections: u64,
    /// Lines.
    pub lines: Traffic,
    /// Bytes.
    pub bytes: Traffic,
    /// Median latency in microseconds; 0 if no line was timed.
    pub p50_us: u64,
    /// 99th percentile in microseconds.
    pub p99_us: u64,
    /// Maximum in microseconds.
    pub max_us: u64,
    /// The interval's histogram of nanoseconds (base64, V2 compressed).
    pub histogram: String,
}

/// Histograms of nanoseconds, and one of lines.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Histograms {
    /// Of `latency_us`.
    pub latency: Hist,
    /// Of `after_ramp.latency_us`.
    pub after_ramp: Hist,
    /// Of `service_us`; empty unless paced.
    pub service: Hist,
    /// Of `error_latency_us`.
    #[serde(default)]
    pub errors: Hist,
    /// Of `connect_us`.
    pub connect: Hist,
    /// Of `tls.handshake_us`; empty without TLS.
    #[serde(default)]
    pub handshake: Hist,
    /// Of `spread`: replies per connection.
    pub lines_per_connection: Hist,
}
