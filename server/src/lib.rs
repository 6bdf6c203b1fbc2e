//! The server: listener, shards, stacks, lifecycle, exporter, admin.

use towline_config::Effective;

/// How a run ended, when it ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every connection was finished.
    Clean,
    /// The drain deadline, or a second signal, cut this many connections.
    Cut(u64),
}

/// Why the server could not start or go on. `Display` is one sentence for a person.
#[derive(Debug)]
pub struct RunError {
    usage: bool,
    message: String,
}

impl RunError {
    /// True when a setting or the host's limits are at fault (exit code 2), false when the run
    /// failed (exit code 1).
    pub fn is_usage(&self) -> bool {
        self.usage
    }
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {}

/// Serves until a signal ends it.
///
/// # Errors
/// When it cannot start (address in use, a limit the host does not allow) or the listener breaks.
pub fn run(_effective: &Effective) -> Result<Outcome, RunError> {
    Err(RunError { usage: false, message: "not built yet".into() })
}
