//! Events that event loops report to the leader of the run, over a channel or as lines of JSON from a
//! worker process.

use serde::{Deserialize, Serialize};

use crate::counters::BadClientCounters;
use crate::counters::Counters;
use crate::histogram::Hist;
use crate::plan::ClientBehavior;
use crate::tls::TlsTotals;

/// An event from one event loop.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// The counts of an interval.
    Interval(Box<IntervalSample>),
    /// How many messages a publisher of a fan-out has sent, now that it sends no more; `None` if that is
    /// unknown because its connection ended.
    Published(u32, Option<u64>),
    /// The loop has ended; no event follows.
    Finished(Box<Finished>),
    /// The loop failed; no event follows.
    Failed(String),
}

impl Event {
    /// Whether no event of the loop follows.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Failed(_))
    }
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Connections are being made.
    Ramp,
    /// All connects have succeeded or failed, and the load is on.
    Steady,
    /// No new lines are sent; replies are still read.
    Drain,
}

/// What an event loop counted in an interval. An interval never spans two phases.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IntervalSample {
    pub(crate) loop_index: u32,
    pub(crate) phase: Phase,
    /// The interval's ends, on the host's monotonic clock.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Connections open at the end of the interval.
    pub(crate) open: u32,
    /// Whether every connect of the loop has succeeded or failed.
    pub(crate) ramped: bool,
    pub(crate) counters: Counters,
    pub(crate) service: Hist,
    pub(crate) response: Hist,
}

/// The final report of an event loop.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) loop_index: u32,
    /// Nanoseconds from connect to established.
    pub(crate) connect: Hist,
    /// Nanoseconds to the error lines in place of replies.
    pub(crate) errors: Hist,
    /// Replies per well-behaved connection.
    pub(crate) spread: SpreadSums,
    /// Nanoseconds by which due lines were sent late (paced mode).
    pub(crate) lag: Hist,
    /// Length of the steady phase, and the nanoseconds of it spent asleep in epoll and on a CPU.
    pub(crate) steady: u64,
    pub(crate) asleep: u64,
    pub(crate) cpu: u64,
    /// Nanoseconds of the steady phase in which the thread was ready to run but had no CPU.
    pub(crate) queued: u64,
    /// CPU time of the thread in all.
    pub(crate) cpu_total: u64,
    /// When the last reply was read.
    pub(crate) last_reply: u64,
    pub(crate) examples: Vec<String>,
    pub(crate) bad_clients: Vec<(ClientBehavior, BadClientCounters)>,
    /// What TLS counted, if connections speak it.
    pub(crate) tls: Option<Box<TlsTotals>>,
}

/// Replies per connection, in a form that can be added up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct SpreadSums {
    pub(crate) lines: Hist,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl SpreadSums {
    pub(crate) fn record(&mut self, lines: u64) {
        self.lines.record(lines, 1);
        self.sum += lines as f64;
        self.squares += (lines as f64).powi(2);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.lines.add(&other.lines);
        self.sum += other.sum;
        self.squares += other.squares;
    }
}

/// Jain's fairness index of `count` values: 1 if all are equal, 1/`count` if one has everything.
pub(crate) fn jain(count: u64, sum: f64, squares: f64) -> f64 {
    if squares == 0.0 { 1.0 } else { sum * sum / (count as f64 * squares) }
}
