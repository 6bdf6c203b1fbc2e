//! SIGINT and SIGTERM: the first ends the run early, the second ends the process at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::LoadError;

/// Installs handlers for SIGINT and SIGTERM. The first signal sets the returned flag, which is meant for
/// [`RunOptions::interrupt`](crate::RunOptions); the second ends the process with exit code 1.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn interrupt_on_signals() -> Result<Arc<AtomicBool>, LoadError> {
    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The shutdown is registered first, so that it sees the flag as it was before this signal.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupt))
            .and_then(|_| flag::register(signal, Arc::clone(&interrupt)))
            .map_err(|e| LoadError::failed(format!("signals cannot be handled: {e}")))?;
    }
    Ok(interrupt)
}
