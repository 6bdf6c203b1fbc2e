//! What one process has counted and what it holds, as of one moment: plain data that can be sent and
//! summed. Naming it is [`super::families`]' job.

use serde::{Deserialize, Serialize};
use towline_middleware::stats::{CloseReason, HistogramSnapshot, LineResult, State};

use crate::{accept_error::ERRNOS, overload::STEPS, refuse::Refusal};

/// The numbers of one process, or the sum of several.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    pub(crate) counted: Counted,
    pub(crate) held: Held,
    /// The threads that serve lines, in a fixed order.
    pub(crate) workers: Vec<Worker>,
}

/// What only grows, and outlives the process that counted it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counted {
    pub(crate) accepted: u64,
    /// Indexed by [`CloseReason`].
    pub(crate) closed: [u64; CloseReason::ALL.len()],
    /// Indexed by [`Refusal`].
    pub(crate) rejected: [u64; Refusal::ALL.len()],
    /// Indexed by [`ERRNOS`].
    pub(crate) accept_errors: [u64; ERRNOS.len()],
    /// Connection-nanoseconds, indexed by [`State`], connections still in it included.
    pub(crate) state_nanos: [u128; State::ALL.len()],
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
    pub(crate) lines_received: u64,
    /// Indexed by [`LineResult`].
    pub(crate) lines_processed: [u64; LineResult::ALL.len()],
    pub(crate) lines_unterminated: u64,
    pub(crate) batches: u64,
    #[serde(with = "HistogramData")]
    pub(crate) batch_duration: HistogramSnapshot,
    pub(crate) heartbeats_sent: u64,
    pub(crate) heartbeats_missed: u64,
    pub(crate) hashed_bytes: u64,
    pub(crate) hash_nanos: u64,
    pub(crate) cpu_nanos: u64,
    pub(crate) reloads_ok: u64,
    pub(crate) reloads_failed: u64,
}

/// What rises and falls, and ends with the process that holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Open connections, indexed by [`State`].
    pub(crate) connections: [u64; State::ALL.len()],
    pub(crate) concurrency_limit: u64,
    pub(crate) concurrency_in_use: u64,
    pub(crate) read_buffer_bytes: i64,
    pub(crate) write_buffer_bytes: i64,
    pub(crate) buffer_limit_bytes: u64,
    /// Processes that have taken each of [`STEPS`].
    pub(crate) overload_steps: [u64; STEPS.len()],
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    pub(crate) open_descriptors: u64,
    pub(crate) max_descriptors: u64,
}

/// One thread that serves lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) connections: u64,
    pub(crate) busy_nanos: u64,
    /// Counted by who starts it again, so 0 in what a process says of itself.
    pub(crate) restarts: u64,
}

/// How a histogram is written down; `middleware` leaves that to its users.
#[derive(Serialize, Deserialize)]
#[serde(remote = "HistogramSnapshot")]
struct HistogramData {
    buckets: [u64; 20],
    sum_nanos: u64,
}

impl Held {
    /// Open connections in all states.
    pub(crate) fn open(&self) -> u64 {
        self.connections.iter().sum()
    }
}
