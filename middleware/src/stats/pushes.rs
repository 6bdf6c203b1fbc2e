//! What was pushed to the connections of a shard.

use super::{COARSE, Counter, Gauge, Histogram, HistogramSnapshot, Nanos, Writers};

/// What is counted of the pushes of one shard.
#[derive(Debug)]
pub struct PushStats {
    sent: Counter,
    sent_bytes: Counter,
    dropped: Counter,
    pub(crate) refused: Counter,
    pub(crate) rounds: Counter,
    pub(crate) slow_closed: Counter,
    pub(crate) slow_dropped: Counter,
    pub(crate) slow_waited: Counter,
    pub(crate) waiting_connections: Gauge,
    pub(crate) groups: Gauge,
    pub(crate) group_members: Gauge,
    delay: Histogram,
}

/// What was counted of the pushes of a shard when it was read. Snapshots of several shards merge.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PushSnapshot {
    /// Messages written to connections, each once for each of them.
    pub sent: u64,
    /// Their bytes.
    pub sent_bytes: u64,
    /// Messages left out: by a policy, or because their connection ended or left its group.
    pub dropped: u64,
    /// Messages that were not taken: their sender was told.
    pub refused: u64,
    /// Rounds given to the members of groups; messages of a group that are sent together are one.
    pub rounds: u64,
    /// Members closed because they took too little.
    pub slow_closed: u64,
    /// Times that messages for a member were left out because it took too little.
    pub slow_dropped: u64,
    /// Times that senders began to wait for a member.
    pub slow_waited: u64,
    /// Bytes of messages that wait, each once however many connections wait for it.
    pub waiting_bytes: i64,
    /// Connections for which messages wait.
    pub waiting_connections: i64,
    /// Groups that have members.
    pub groups: i64,
    /// Members of groups.
    pub group_members: i64,
    /// Time from a round to its write, for each member; with the bounds [`COARSE`].
    pub delay: HistogramSnapshot,
}

impl PushStats {
    pub(super) fn new(writers: Writers) -> Self {
        // Messages are sent from any thread, and a connection may end on any.
        let many = if writers == Writers::None { Writers::None } else { Writers::Many };
        let counter = || Counter::new(many);
        Self {
            sent: counter(),
            sent_bytes: counter(),
            dropped: counter(),
            refused: counter(),
            rounds: counter(),
            slow_closed: counter(),
            slow_dropped: counter(),
            slow_waited: counter(),
            waiting_connections: Gauge::default(),
            groups: Gauge::default(),
            group_members: Gauge::default(),
            delay: Histogram::new(&COARSE, many),
        }
    }

    #[inline]
    pub(crate) fn sent(&self, messages: u32, bytes: usize) {
        self.sent.add(u64::from(messages));
        self.sent_bytes.add(bytes as u64);
    }

    pub(crate) fn dropped(&self, messages: u32) {
        if messages > 0 {
            self.dropped.add(u64::from(messages));
        }
    }

    #[inline]
    pub(crate) fn record_delay(&self, since: Nanos, now: Nanos) {
        self.delay.record(now.0.saturating_sub(since.0));
    }

    /// The delay of a round that was written to several connections together.
    pub(crate) fn record_delays(&self, since: Nanos, now: Nanos, connections: u64) {
        self.delay.record_each(now.0.saturating_sub(since.0), connections);
    }

    pub(super) fn snapshot(&self, waiting_bytes: i64) -> PushSnapshot {
        PushSnapshot {
            sent: self.sent.get(),
            sent_bytes: self.sent_bytes.get(),
            dropped: self.dropped.get(),
            refused: self.refused.get(),
            rounds: self.rounds.get(),
            slow_closed: self.slow_closed.get(),
            slow_dropped: self.slow_dropped.get(),
            slow_waited: self.slow_waited.get(),
            waiting_bytes,
            waiting_connections: self.waiting_connections.get(),
            groups: self.groups.get(),
            group_members: self.group_members.get(),
            delay: self.delay.snapshot(),
        }
    }
}

impl PushSnapshot {
    /// Adds what another shard counted.
    pub fn merge(&mut self, other: &Self) {
        self.sent += other.sent;
        self.sent_bytes += other.sent_bytes;
        self.dropped += other.dropped;
        self.refused += other.refused;
        self.rounds += other.rounds;
        self.slow_closed += other.slow_closed;
        self.slow_dropped += other.slow_dropped;
        self.slow_waited += other.slow_waited;
        self.waiting_bytes += other.waiting_bytes;
        self.waiting_connections += other.waiting_connections;
        self.groups += other.groups;
        self.group_members += other.group_members;
        self.delay.merge(&other.delay);
    }
}
