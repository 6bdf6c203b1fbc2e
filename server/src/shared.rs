//! What the shards of a process share: what they count, and what they are told.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::{Permits, stats::Stats};

use crate::{host, overload::Relief, slots::Slots};

/// What holds now. Each thread takes a change over as a whole, between two of its turns.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) effective: Arc<Effective>,
    /// What is done because something is short.
    pub(crate) relief: Relief,
}

impl Now {
    /// What holds at the start.
    pub(crate) fn first(effective: Effective) -> Self {
        Self { effective: Arc::new(effective), relief: Relief::NONE }
    }
}

/// The shards of one process, as who counts them and who drains them sees them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) now: Arc<watch::Sender<Now>>,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) runtimes: Vec<runtime::Handle>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) permits: Arc<Permits>,
    /// Memory for the buffers of connections.
    pub(crate) buffer_limit_bytes: AtomicU64,
}

impl Shared {
    /// What the buffers of connections hold now.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        let held =
            |stats: &Arc<Stats>| stats.read_buffer_bytes.get() + stats.write_buffer_bytes.get();
        // A connection's cells are told apart, so the sum may be short of nothing for a moment.
        self.stats.iter().map(held).sum::<i64>().max(0).unsigned_abs()
    }

    /// Takes over settings that were found to hold here. Each shard does so as soon as its thread
    /// comes round to it.
    pub(crate) fn take_over(&self, effective: Effective) {
        let limits = &effective.settings.limits;
        // What `auto` found at start stays: with connections open it would find less.
        if limits.buffer_bytes != self.now.borrow().effective.settings.limits.buffer_bytes {
            self.buffer_limit_bytes.store(host::buffer_limit(limits.buffer_bytes), Relaxed);
        }
        self.permits.set_limit(limits.concurrency.get() as usize);
        self.now.send_modify(|now| now.effective = Arc::new(effective));
    }
}
