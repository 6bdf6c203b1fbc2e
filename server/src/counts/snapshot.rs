//! The counts and gauges of a process at one moment: plain data that can be sent and summed.

#[cfg(feature = "serde")]
use serde::{Deserialize, Serialize};
use towline_middleware::stats::{
    CloseReason, CommandSnapshot, HistogramSnapshot, LineResult, PushSnapshot, State,
};

use super::{ERRNOS, HandshakeResult, ProcessState, Rejection, STEPS};

/// The counts and gauges of one process, or the sums over several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Snapshot {
    /// When it was taken, by the host's [monotonic clock](super::monotonic_nanos). Times in states are exact
    /// then.
    pub taken_nanos: u64,
    /// Sums that only grow.
    pub counted: Counters,
    /// Values that rise and fall.
    pub held: Gauges,
    /// The threads that serve lines, in a fixed order.
    pub shards: Vec<ShardUsage>,
    /// The commands of a router, in a fixed order. Worker processes have none, so they are not sent.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub commands: Vec<CommandSnapshot>,
    /// What was pushed, if sessions are served. As `commands`.
    #[cfg_attr(feature = "serde", serde(skip))]
    pub pushes: Option<PushSnapshot>,
}

/// Sums that only grow. They remain when the process that counted them has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Counters {
    /// Connections accepted and served.
    pub accepted: u64,
    /// Closed connections, indexed by [`CloseReason`].
    pub closed: [u64; CloseReason::ALL.len()],
    /// Rejected connections, indexed by [`Rejection`].
    pub rejected: [u64; Rejection::ALL.len()],
    /// Errors of accept(2), indexed by [`ERRNOS`].
    pub accept_errors: [u64; ERRNOS.len()],
    /// Time in each state, indexed by [`State`] and summed over all connections, those now in it
    /// included.
    pub state_nanos: [u128; State::ALL.len()],
    /// Bytes read from clients.
    pub read_bytes: u64,
    /// Bytes written to clients.
    pub written_bytes: u64,
    /// Complete lines received.
    pub lines_received: u64,
    /// Processed lines, indexed by [`LineResult`].
    pub lines_processed: [u64; LineResult::ALL.len()],
    /// Connections that ended in the middle of a line.
    pub lines_unterminated: u64,
    /// Batches of lines received.
    pub batches: u64,
    /// Durations from passing a batch to the line stack until its replies are written.
    #[cfg_attr(feature = "serde", serde(with = "HistogramData"))]
    pub batch_duration: HistogramSnapshot,
    /// How long connections were open that have ended.
    #[cfg_attr(feature = "serde", serde(with = "HistogramData"))]
    pub connection_duration: HistogramSnapshot,
    /// How long something that is ready waits until its thread runs it.
    #[cfg_attr(feature = "serde", serde(with = "HistogramData"))]
    pub scheduling_delay: HistogramSnapshot,
    /// Pings sent.
    pub heartbeats_sent: u64,
    /// Pings not answered in time.
    pub heartbeats_missed: u64,
    /// Bytes of hashed lines, line ends included.
    pub hashed_bytes: u64,
    /// Time spent hashing.
    pub hash_nanos: u64,
    /// User and system CPU time of the process.
    pub cpu_nanos: u64,
    /// Reloads that were applied.
    pub reloads_ok: u64,
    /// Reloads that failed.
    pub reloads_failed: u64,
    /// TLS handshakes, indexed by [`HandshakeResult`].
    pub handshakes: [u64; HandshakeResult::ALL.len()],
    /// How long those took that did not fail.
    #[cfg_attr(feature = "serde", serde(with = "HistogramData"))]
    pub handshake_duration: HistogramSnapshot,
}

/// Values that rise and fall. They end with their process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct Gauges {
    /// Open connections, indexed by [`State`].
    pub connections: [u64; State::ALL.len()],
    /// Most batches served at the same time.
    pub concurrency_limit: u64,
    /// Batches being served.
    pub concurrency_in_use: u64,
    /// Bytes of incomplete lines, and of batches being served or waiting.
    pub read_buffer_bytes: i64,
    /// Bytes of unsent replies.
    pub write_buffer_bytes: i64,
    /// Limit of both together.
    pub buffer_limit_bytes: u64,
    /// Processes in which a step against overload is in force, indexed by [`STEPS`].
    pub overload_steps: [u64; STEPS.len()],
    /// Processes, indexed by [`ProcessState`]. Set by the process that reports for the server.
    pub processes: [u64; ProcessState::ALL.len()],
    /// Resident memory.
    pub resident_bytes: u64,
    /// The part of it that was resident before there were connections.
    pub resident_base_bytes: u64,
    /// Virtual memory.
    pub virtual_bytes: u64,
    /// Open descriptors.
    pub open_descriptors: u64,
    /// Limit of descriptors.
    pub max_descriptors: u64,
}

/// Load of one thread that serves lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(Serialize, Deserialize))]
pub struct ShardUsage {
    /// Open connections.
    pub connections: u64,
    /// Time that the thread spent working instead of waiting for events.
    pub busy_nanos: u64,
    /// A count that goes on while the thread runs.
    pub ticks: u64,
    /// Restarts of its process. Counted by the supervisor; 0 in the snapshot of a worker process.
    pub restarts: u64,
}

impl Snapshot {
    /// Adds the numbers of `other`, another run of the same worker process: its threads are added to the
    /// threads of the same index.
    pub fn add(&mut self, other: &Self) {
        let Self { taken_nanos, counted, held, shards, commands: _, pushes: _ } = other;
        self.taken_nanos = self.taken_nanos.max(*taken_nanos);
        self.counted.add(counted);
        self.held.add(held);
        if self.shards.len() < shards.len() {
            self.shards.resize(shards.len(), ShardUsage::default());
        }
        for (mine, theirs) in self.shards.iter_mut().zip(shards) {
            let ShardUsage { connections, busy_nanos, ticks, restarts } = theirs;
            mine.connections += connections;
            mine.busy_nanos += busy_nanos;
            mine.ticks += ticks;
            mine.restarts += restarts;
        }
    }

    /// Continues the times in states to `now`, for connections that have waited since this was taken: snapshots
    /// of several processes are of one moment then.
    pub fn extrapolate(&mut self, now_nanos: u64) {
        let since = u128::from(now_nanos.saturating_sub(self.taken_nanos));
        for (nanos, open) in self.counted.state_nanos.iter_mut().zip(self.held.connections) {
            *nanos += since * u128::from(open);
        }
        self.taken_nanos = self.taken_nanos.max(now_nanos);
    }

    /// Adds the numbers of `other`, another process: its threads are appended.
    pub fn join(&mut self, other: Self) {
        self.taken_nanos = self.taken_nanos.max(other.taken_nanos);
        self.counted.add(&other.counted);
        self.held.add(&other.held);
        self.shards.extend(other.shards);
    }
}

impl Counters {
    fn add(&mut self, other: &Self) {
        // Destructured, so that a new field cannot be forgotten here.
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
            connection_duration,
            scheduling_delay,
            heartbeats_sent,
            heartbeats_missed,
            hashed_bytes,
            hash_nanos,
            cpu_nanos,
            reloads_ok,
            reloads_failed,
            handshakes,
            handshake_duration,
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
        self.connection_duration.merge(connection_duration);
        self.scheduling_delay.merge(scheduling_delay);
        self.heartbeats_sent += heartbeats_sent;
        self.heartbeats_missed += heartbeats_missed;
        self.hashed_bytes += hashed_bytes;
        self.hash_nanos += hash_nanos;
        self.cpu_nanos += cpu_nanos;
        self.reloads_ok += reloads_ok;
        self.reloads_failed += reloads_failed;
        add_each(&mut self.handshakes, handshakes);
        self.handshake_duration.merge(handshake_duration);
    }
}

impl Gauges {
    /// Open connections in all states.
    pub fn open(&self) -> u64 {
        self.connections.iter().sum()
    }

    /// Whether the last step against overload is in force: no connections are accepted.
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
            resident_base_bytes,
            virtual_bytes,
            open_descriptors,
            max_descriptors,
            buffer_limit_bytes,
            overload_steps,
            processes,
        } = other;
        add_each(&mut self.connections, connections);
        self.concurrency_limit += concurrency_limit;
        self.concurrency_in_use += concurrency_in_use;
        self.read_buffer_bytes += read_buffer_bytes;
        self.write_buffer_bytes += write_buffer_bytes;
        self.resident_bytes += resident_bytes;
        self.resident_base_bytes += resident_base_bytes;
        self.virtual_bytes += virtual_bytes;
        self.open_descriptors += open_descriptors;
        self.max_descriptors += max_descriptors;
        self.buffer_limit_bytes += buffer_limit_bytes;
        add_each(&mut self.overload_steps, overload_steps);
        add_each(&mut self.processes, processes);
    }
}

fn add_each<T: std::ops::AddAssign + Copy>(mine: &mut [T], theirs: &[T]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += *theirs;
    }
}

/// The serialized form of a histogram; `towline-middleware` does not depend on serde.
#[cfg(feature = "serde")]
#[derive(Serialize, Deserialize)]
#[serde(remote = "HistogramSnapshot")]
struct HistogramData {
    buckets: Vec<u64>,
    sum_nanos: u64,
}
