//! What lanes tell whoever leads the run: over a channel, or as lines of JSON from a worker process.

use serde::{Deserialize, Serialize};

use crate::counters::BadClientCounters;
use crate::counters::Counters;
use crate::histogram::Hist;
use crate::plan::ClientBehavior;

/// News from one lane.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Event {
    /// What an interval brought.
    Tick(Box<Tick>),
    /// The lane has ended; nothing follows.
    Finished(Box<Finished>),
    /// The lane could not go on; nothing follows.
    Failed(String),
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Phase {
    /// Connections are being made.
    Ramp,
    /// All that will be are made.
    Steady,
    /// No new lines; replies still flow in.
    Drain,
}

/// What a lane counted in an interval; an interval never spans two phases.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Tick {
    pub(crate) lane: u32,
    pub(crate) phase: Phase,
    /// The interval, on the host's monotonic clock.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// Connections open at its end.
    pub(crate) open: u32,
    /// Whether every connect of the lane has ended, well or not.
    pub(crate) ramped: bool,
    pub(crate) counters: Counters,
    pub(crate) service: Hist,
    pub(crate) response: Hist,
}

/// What is known only at the end.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Finished {
    pub(crate) lane: u32,
    /// From connect to established, in nanoseconds.
    pub(crate) connect: Hist,
    /// Replies per well-behaved connection.
    pub(crate) spread: Spread,
    /// Nanoseconds a due line was sent late (paced).
    pub(crate) lag: Hist,
    /// The steady phase: how long, how much of it asleep in epoll, how much on a CPU.
    pub(crate) steady: u64,
    pub(crate) asleep: u64,
    pub(crate) cpu: u64,
    /// Ready to run in that time, but waiting for a CPU.
    pub(crate) queued: u64,
    /// CPU time of the lane's whole life.
    pub(crate) cpu_total: u64,
    /// When the last reply came.
    pub(crate) last_reply: u64,
    pub(crate) examples: Vec<String>,
    pub(crate) bad_clients: Vec<(ClientBehavior, BadClientCounters)>,
}

/// How evenly the replies fell on the connections, in a form that adds up.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Spread {
    pub(crate) lines: Hist,
    pub(crate) sum: f64,
    pub(crate) squares: f64,
}

impl Spread {
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

/// Jain's index of `count` values: 1 when all are the same, 1/n when one has everything.
pub(crate) fn jain(count: u64, sum: f64, squares: f64) -> f64 {
    if squares == 0.0 { 1.0 } else { sum * sum / (count as f64 * squares) }
}
