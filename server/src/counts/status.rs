//! Facts that are published beside the counts.

use std::sync::Arc;

use towline_config::Effective;

/// What is published of a server beside its numbers.
#[derive(Debug, Clone)]
pub struct Status {
    pub effective: Arc<Effective>,
    /// Whether what runs is what was asked for last.
    pub last_reload_ok: bool,
    pub connections_limit: u64,
    pub draining: bool,
}
