//! What the shards of a process share: configuration, counts, slots.

use std::sync::Arc;

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::{Semaphore, drain::Signal, stats::Stats};

use crate::{accept::ConnectionSlots, live_config::LiveConfig};

/// The shared state of a [`ShardPool`](super::ShardPool): read by the exporter and the overload
/// control, changed by reloads.
#[derive(Debug)]
pub struct PoolState {
    /// The configuration in force; each shard is subscribed to it.
    pub config: Arc<watch::Sender<LiveConfig>>,
    /// The counts of each shard.
    pub stats: Vec<Arc<Stats>>,
    /// The connections of each shard, and the way to end them.
    pub signals: Vec<Signal>,
    /// The runtime of each shard.
    pub runtimes: Vec<runtime::Handle>,
    /// The connection slots of this process.
    pub slots: Arc<ConnectionSlots>,
    /// The permits of the concurrency limit, one set for all shards.
    pub permits: Arc<Semaphore>,
}

impl PoolState {
    /// Bytes in the buffers of all connections.
    pub fn buffer_bytes(&self) -> u64 {
        self.stats.iter().map(|stats| stats.buffered_bytes() as u64).sum()
    }

    /// A count for each shard that goes on while it runs.
    #[cfg(feature = "systemd")]
    pub fn ticks(&self) -> Vec<Option<u64>> {
        self.stats.iter().map(|stats| Some(stats.ticks.get())).collect()
    }

    /// The part of those bytes that clients hold: unfinished lines and unsent replies.
    pub fn held_bytes(&self) -> u64 {
        self.stats.iter().map(|stats| stats.held_bytes() as u64).sum()
    }

    /// From now on handshakes are made with this, if it is something. Open connections and handshakes that have begun
    /// go on as they are.
    #[cfg(feature = "tls")]
    pub fn apply_tls(&self, change: Option<crate::tls::TlsChange>) {
        if change.is_some() {
            self.config.send_modify(|config| config.tls = change);
        }
    }

    /// Puts settings in force that were validated for this host. Each shard applies them when its
    /// thread next polls its event loop.
    pub fn apply(&self, effective: Effective) {
        self.slots.clients().set_limits(&effective.settings.limits);
        self.slots.closed().set_log(effective.settings.log.connections);
        self.permits.set_limit(effective.settings.limits.concurrency.get() as usize);
        self.config.send_modify(|config| config.apply(effective));
    }
}
