//! What one process has counted and what it holds, as of one moment: plain data that can be sent and
//! summed. Naming it is [`super::families`]' job.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use towline_middleware::stats::{CloseReason, HistogramSnapshot, LineResult, State};

use super::{ERRNOS, Rejection, STEPS};

/// The numbers of one process, or the sum of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Snapshot {
    pub counted: Counters,
    pub held: Gauges,
    /// The threads that serve lines, in a fixed order.
    pub workers: Vec<ShardUsage>,
}

/// What only grows, and outlives the process that counted it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Counters {
    pub accepted: u64,
    /// Indexed by [`CloseReason`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Indexed by [`Rejection`].
    pub rejected: [u64; Rejection::ALL.len()],
    /// Indexed by [`ERRNOS`].
    pub accept_errors: [u64; ERRNOS.len()],
    /// Connection-nanoseconds, indexed by [`State`], connections still in it included.
    pub state_nanos: [u128; State::ALL.len()],
    pub read_bytes: u64,
    pub written_bytes: u64,
    pub lines_received: u64,
    /// Indexed by [`LineResult`].
    pub lines_processed: [u64; LineResult::ALL.len()],
    pub lines_unterminated: u64,
    pub batches: u64,
    #[cfg_attr(feature = "serde", serde(with = "HistogramData"))]
    pub batch_duration: HistogramSnapshot,
    pub heartbeats_sent: u64,
    pub heartbeats_missed: u64,
    pub hashed_bytes: u64,
    pub hash_nanos: u64,
    pub cpu_nanos: u64,
    pub reloads_ok: u64,
    pub reloads_failed: u64,
}

/// What rises and falls, and ends with the process that holds it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Gauges {
    /// Open connections, indexed by [`State`].
    pub connections: [u64; State::ALL.len()],
    pub concurrency_limit: u64,
    pub concurrency_in_use: u64,
    pub read_buffer_bytes: i64,
    pub write_buffer_bytes: i64,
    pub buffer_limit_bytes: u64,
    /// Processes that have taken each of [`STEPS`].
    pub overload_steps: [u64; STEPS.len()],
    pub resident_bytes: u64,
    pub virtual_bytes: u64,
    pub open_descriptors: u64,
    pub max_descriptors: u64,
}

/// One thread that serves lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ShardUsage {
    pub connections: u64,
    pub busy_nanos: u64,
    /// Counted by the supervisor; 0 in the snapshot of a worker process.
    pub restarts: u64,
}

impl Snapshot {
    /// Adds another process's numbers; its threads are those of this one's, before or after.
    pub fn add(&mut self, other: &Self) {
        let Self { counted, held, workers } = other;
        self.counted.add(counted);
        self.held.add(held);
        if self.workers.len() < workers.len() {
            self.workers.resize(workers.len(), ShardUsage::default());
        }
        for (mine, theirs) in self.workers.iter_mut().zip(workers) {
            let ShardUsage { connections, busy_nanos, restarts } = theirs;
            mine.connections += connections;
            mine.busy_nanos += busy_nanos;
            mine.restarts += restarts;
        }
    }

    /// Adds another process's numbers, and its threads behind this one's.
    pub fn join(&mut self, other: Self) {
        self.counted.add(&other.counted);
        self.held.add(&other.held);
        self.workers.extend(other.workers);
    }
}

impl Counters {
    fn add(&mut self, other: &Self) {
        // Named one by one, so that a number that is added cannot be forgotten here.
        let Self {
            accepted,
            closed,
            rejected,
            accept_errors,
            state_nanos,
            read_bytes,
            written_bytes,
            lines_received,
            lines_processed,
            lines_unterminated,
            batches,
            batch_duration,
            heartbeats_sent,
            heartbeats_missed,
            hashed_bytes,
            hash_nanos,
            cpu_nanos,
            reloads_ok,
            reloads_failed,
        } = other;
        self.accepted += accepted;
        add_each(&mut self.closed, closed);
        add_each(&mut self.rejected, rejected);
        add_each(&mut self.accept_errors, accept_errors);
        add_each(&mut self.state_nanos, state_nanos);
        self.read_bytes += read_bytes;
        self.written_bytes += written_bytes;
        self.lines_received += lines_received;
        add_each(&mut self.lines_processed, lines_processed);
        self.lines_unterminated += lines_unterminated;
        self.batches += batches;
        self.batch_duration.merge(batch_duration);
        self.heartbeats_sent += heartbeats_sent;
        self.heartbeats_missed += heartbeats_missed;
        self.hashed_bytes += hashed_bytes;
        self.hash_nanos += hash_nanos;
        self.cpu_nanos += cpu_nanos;
        self.reloads_ok += reloads_ok;
        self.reloads_failed += reloads_failed;
    }
}

impl Gauges {
    /// Whether the last step against overload is taken: no connection is wanted.
    pub fn refuses(&self) -> bool {
        self.overload_steps.last().is_some_and(|processes| *processes > 0)
    }

    fn add(&mut self, other: &Self) {
        let Self {
            connections,
            concurrency_limit,
            concurrency_in_use,
            read_buffer_bytes,
            write_buffer_bytes,
            resident_bytes,
            virtual_bytes,
            open_descriptors,
            max_descriptors,
            buffer_limit_bytes,
            overload_steps,
        } = other;
        add_each(&mut self.connections, connections);
        self.concurrency_limit += concurrency_limit;
        self.concurrency_in_use += concurrency_in_use;
        self.read_buffer_bytes += read_buffer_bytes;
        self.write_buffer_bytes += write_buffer_bytes;
        self.resident_bytes += resident_bytes;
        self.virtual_bytes += virtual_bytes;
        self.open_descriptors += open_descriptors;
        self.max_descriptors += max_descriptors;
        self.buffer_limit_bytes += buffer_limit_bytes;
        add_each(&mut self.overload_steps, overload_steps);
    }
}

fn add_each<T: std::ops::AddAssign + Copy>(mine: &mut [T], theirs: &[T]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += *theirs;
    }
}

/// How a histogram is written down; `middleware` leaves that to its users.
#[cfg(feature = "serde")]
#[derive(Serialize, Deserialize)]
#[serde(remote = "HistogramSnapshot")]
struct HistogramData {
    buckets: [u64; 20],
    sum_nanos: u64,
}

impl Gauges {
    /// Open connections in all states.
    pub fn open(&self) -> u64 {
        self.connections.iter().sum()
    }
}
