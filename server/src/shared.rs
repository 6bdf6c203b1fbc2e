//! What the threads of one server share, all of it read-only or counted.

use std::sync::Arc;

use tokio::{runtime, sync::Semaphore};
use towline_config::Settings;
use towline_middleware::stats::Stats;

use crate::{accept::AcceptStats, lifecycle::Life, slots::Slots};

/// One server's state, as the exporter and the admin endpoint see it.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    /// The effective configuration as JSON, secrets redacted.
    pub(crate) config_json: String,
    pub(crate) life: Life,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) runtimes: Vec<runtime::Handle>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) accept: Arc<AcceptStats>,
    /// The TCP port lines are served on, to find its accept queue.
    pub(crate) port: Option<u16>,
}
