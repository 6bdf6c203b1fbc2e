//! Reads the counts and gauges of one process.

use std::sync::Arc;

use towline_middleware::stats::{
    CommandSnapshot, LineResult, Nanos, PushSnapshot, State, StateSnapshot, Stats,
};

use super::ProcessUsage;
use crate::{
    counts::{Counters, Gauges, ShardUsage, Snapshot},
    shard::PoolState,
};

/// Reads the counts and gauges of a process that serves lines. A read costs the same for one
/// connection and for a million.
#[derive(Debug)]
pub struct CountsReader {
    shared: Arc<PoolState>,
    process: ProcessUsage,
}

impl CountsReader {
    /// Reads from the shards of `shared`.
    pub fn new(shared: Arc<PoolState>) -> Self {
        Self { shared, process: ProcessUsage::default() }
    }

    /// All counts and gauges, as of now.
    pub fn read(&self) -> Snapshot {
        let mut snapshot = shards(&self.shared);
        self.process.add_to(&mut snapshot);
        snapshot
    }
}

fn shards(shared: &PoolState) -> Snapshot {
    let mut states = StateSnapshot::default();
    for stats in &shared.stats {
        states.merge(&stats.states.snapshot());
    }
    // Read after the snapshot, so that no change of state in it is later than this time.
    let now = shared.stats.first().map_or(Nanos(0), |stats| stats.now());

    let total = |read: &dyn Fn(&Stats) -> u64| shared.stats.iter().map(|s| read(s)).sum::<u64>();
    let held = |read: &dyn Fn(&Stats) -> i64| shared.stats.iter().map(|s| read(s)).sum::<i64>();
    // Processed lines are read before received ones: a line counted in between shows as received and
    // not yet processed, never the other way round.
    let lines_processed =
        LineResult::ALL.map(|result| total(&|s| s.lines_processed[result as usize].get()));
    let mut counted = Counters {
        accepted: states.accepted,
        closed: states.closed,
        state_nanos: State::ALL.map(|state| states.nanos_in(state, now)),
        read_bytes: total(&|s| s.read_bytes.get()),
        written_bytes: total(&|s| s.written_bytes.get()),
        lines_processed,
        lines_received: total(&|s| s.lines_received.get()),
        lines_unterminated: total(&|s| s.unterminated_lines.get()),
        batches: total(&|s| s.batches.get()),
        heartbeats_sent: total(&|s| s.heartbeats_sent.get()),
        heartbeats_missed: total(&|s| s.heartbeats_missed.get()),
        hashed_bytes: total(&|s| s.hashed_bytes.get()),
        hash_nanos: total(&|s| s.hash_nanos.get()),
        ..Counters::default()
    };
    for stats in &shared.stats {
        counted.batch_duration.merge(&stats.batch_duration.snapshot());
        counted.connection_duration.merge(&stats.connection_duration.snapshot());
        counted.scheduling_delay.merge(&stats.scheduling_delay.snapshot(now));
    }

    (counted.handshakes, counted.handshake_duration) = shared.slots.handshakes().read();

    let config = shared.config.borrow().clone();
    let held = Gauges {
        connections: states.connections,
        concurrency_limit: shared.permits.limit() as u64,
        concurrency_in_use: shared.permits.in_use() as u64,
        read_buffer_bytes: held(&|s| s.read_buffer_bytes.get()),
        write_buffer_bytes: held(&|s| s.write_buffer_bytes.get()),
        buffer_limit_bytes: config.buffer_limit_bytes,
        overload_steps: config.mitigation.steps().map(u64::from),
        ..Gauges::default()
    };
    let shards = shared.runtimes.iter().zip(&shared.stats).enumerate();
    let shards = shards.map(|(shard, (runtime, stats))| ShardUsage {
        connections: shared.slots.by_shard(shard) as u64,
        busy_nanos: runtime.metrics().worker_total_busy_duration(0).as_nanos() as u64,
        ticks: stats.ticks.get(),
        restarts: 0,
    });
    let taken_nanos = shared.stats.first().map_or(0, |stats| stats.clock().reading(now));
    Snapshot {
        taken_nanos,
        counted,
        held,
        shards: shards.collect(),
        commands: commands(&shared.stats),
        pushes: pushes(&shared.stats),
    }
}

/// The commands of a router, which are the same on all shards.
fn commands(shards: &[Arc<Stats>]) -> Vec<CommandSnapshot> {
    let mut commands: Vec<CommandSnapshot> = Vec::new();
    for counted in shards.iter().filter_map(|stats| stats.commands()) {
        let read = counted.snapshot();
        if commands.is_empty() {
            commands = read;
        } else {
            commands.iter_mut().zip(&read).for_each(|(sum, shard)| sum.merge(shard));
        }
    }
    commands
}

/// What was pushed on all shards.
fn pushes(shards: &[Arc<Stats>]) -> Option<PushSnapshot> {
    let mut read = shards.iter().filter_map(|stats| stats.pushes());
    let mut pushes = read.next()?;
    read.for_each(|shard| pushes.merge(&shard));
    Some(pushes)
}
