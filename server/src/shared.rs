//! What the threads of one server share: what they count, and what they are told.

use std::sync::Arc;

use tokio::{runtime, sync::watch};
use towline_config::Effective;
use towline_middleware::stats::Stats;

use crate::{
    accept::AcceptStats, control::Reloads, lifecycle::Life, permits::Permits, slots::Slots,
};

/// What holds now. Each thread takes a change over as a whole, between two of its turns.
#[derive(Debug, Clone)]
pub(crate) struct Now {
    pub(crate) effective: Arc<Effective>,
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
    pub(crate) accept: Arc<AcceptStats>,
    /// The TCP port lines are served on, to find its accept queue.
    pub(crate) port: Option<u16>,
}
