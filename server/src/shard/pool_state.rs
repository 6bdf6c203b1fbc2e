//! What the shards of a process share: what they count, and what they are told.

use std::sync::Arc;

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::{Semaphore, stats::Stats};

use crate::{accept::ConnectionSlots, live_config::LiveConfig};

/// The shards of one process, as who counts them and who drains them sees them.
#[derive(Debug)]
pub struct PoolState {
    pub config: Arc<watch::Sender<LiveConfig>>,
    pub stats: Vec<Arc<Stats>>,
    pub runtimes: Vec<runtime::Handle>,
    pub slots: Arc<ConnectionSlots>,
    pub permits: Arc<Semaphore>,
}

impl PoolState {
    /// What the buffers of connections hold now.
    pub fn buffer_bytes(&self) -> u64 {
        self.stats.iter().map(|stats| stats.buffered_bytes() as u64).sum()
    }

    /// Takes over settings that were found to hold here. Each shard does so as soon as its thread
    /// comes round to it.
    pub fn apply(&self, effective: Effective) {
        self.permits.set_limit(effective.settings.limits.concurrency.get() as usize);
        self.config.send_modify(|config| config.apply(effective));
    }
}
