//! What the threads of one server share: what they count, and what they are told.

use std::sync::{Arc, atomic::AtomicU64};

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::stats::Stats;

use crate::{
    accept::AcceptStats, control::Reloads, lifecycle::Life, overload::Relief, permits::Permits,
    slots::Slots,
};

/// What holds now. Each thread takes a change over as a whole, between two of its turns.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) effective: Arc<Effective>,
    /// What is done because something is short.
    pub(crate) relief: Relief,
}

/// One server's state, as the exporter and the admin endpoint see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) now: watch::Sender<Now>,
    pub(crate) reloads: Reloads,
    pub(crate) life: Life,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) runtimes: Vec<runtime::Handle>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) permits: Permits,
    /// Memory for the buffers of connections.
    pub(crate) buffer_limit_bytes: AtomicU64,
    pub(crate) accept: Arc<AcceptStats>,
    /// The TCP port lines are served on, to find its accept queue.
    pub(crate) port: Option<u16>,
}

impl Shared {
    /// What the buffers of connections hold now.
    pub(crate) fn buffer_bytes(&self) -> u64 {
        let held =
            |stats: &Arc<Stats>| stats.read_buffer_bytes.get() + stats.write_buffer_bytes.get();
        // A connection's cells are told apart, so the sum may be short of nothing for a moment.
        self.stats.iter().map(held).sum::<i64>().max(0).unsigned_abs()
    }
}
