//! What the shards of a process share: what they count, and what they are told.

use std::sync::Arc;

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::stats::Stats;

use crate::{permits::Permits, slots::Slots};

/// What holds now. Each thread takes a change over as a whole, between two of its turns.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) effective: Arc<Effective>,
}

/// The shards of one process, as who counts them and who drains them sees them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) now: Arc<watch::Sender<Now>>,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) runtimes: Vec<runtime::Handle>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) permits: Permits,
}

impl Shared {
    /// Takes over settings that were found to hold here. Each shard does so as soon as its thread
    /// comes round to it.
    pub(crate) fn take_over(&self, effective: Effective) {
        if let Some(runtime) = self.runtimes.first() {
            self.permits.set_limit(effective.settings.limits.concurrency.get() as usize, runtime);
        }
        self.now.send_modify(|now| now.effective = Arc::new(effective));
    }
}
