//! Ctrl-C and SIGTERM end a run early, in order; the second one ends the program at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::LoadError;

/// From now on the first SIGINT or SIGTERM sets the flag that is returned, for
/// [`Surroundings::interrupt`](crate::Surroundings); the next one ends the process with exit code 1.
///
/// # Errors
/// When the handlers cannot be installed.
pub fn interrupt_on_signals() -> Result<Arc<AtomicBool>, LoadError> {
    let interrupt = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the second signal finds the flag set before the first handler sets it.
        flag::register_conditional_shutdown(signal, 1, Arc::clone(&interrupt))
            .and_then(|_| flag::register(signal, Arc::clone(&interrupt)))
            .map_err(|e| LoadError::failed(format!("signals cannot be handled: {e}")))?;
    }
    Ok(interrupt)
}
