//! What the shards of a process share with those who watch them, all of it read-only or counted.

use std::sync::Arc;

use tokio::{runtime, sync::Semaphore};
use towline_config::Settings;
use towline_middleware::stats::Stats;

use crate::slots::Slots;

/// The shards of one process, as who counts them and who drains them sees them.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) settings: Arc<Settings>,
    pub(crate) stats: Vec<Arc<Stats>>,
    pub(crate) runtimes: Vec<runtime::Handle>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) permits: Arc<Semaphore>,
}
