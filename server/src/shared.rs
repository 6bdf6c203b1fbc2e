//! What the shards of a process share: what they count, and what they are told.

use std::sync::Arc;

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::{Semaphore, stats::Stats};

use crate::{host, overload::Relief, slots::Slots};

/// What holds now. Each thread takes a change over as a whole, between two of its turns.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) effective: Arc<Effective>,
    /// What is done because something is short.
    pub(crate) relief: Relief,
    /// Memory for the buffers of connections, of all shards of the process.
    pub(crate) buffer_limit_bytes: u64,
}

impl Now {
    /// What holds at the start.
    pub(crate) fn first(effective: Effective) -> Self {
        let buffer_limit_bytes = host::buffer_limit(effective.settings.limits.buffer_bytes);
        Self { effective: Arc::new(effective), relief: Relief::NONE, buffer_limit_bytes }
    }

    /// Puts settings in force that were found to hold here.
    pub(crate) fn take_over(&mut self, effective: Effective) {
        let asked = effective.settings.limits.buffer_bytes;
        // What `auto` found at start stays: with connections open it would find less.
        if asked != self.effective.settings.limits.buffer_bytes {
            self.buffer_limit_bytes = host::buffer_limit(asked);
        }
        self.effective = Arc::new(effective);
    }
}

/// The shards of one process, as who counts them and who drains them sees them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) now: Arc<watch::Sender<Now>>,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) runtimes: Vec<runtime::Handle>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) permits: Arc<Semaphore>,
}

impl Shared {
    /// What the buffers of connections hold now.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        self.stats.iter().map(|stats| stats.buffered_bytes() as u64).sum()
    }

    /// Takes over settings that were found to hold here. Each shard does so as soon as its thread
    /// comes round to it.
    pub(crate) fn take_over(&self, effective: Effective) {
        self.permits.set_limit(effective.settings.limits.concurrency.get() as usize);
        self.now.send_modify(|now| now.take_over(effective));
    }
}
