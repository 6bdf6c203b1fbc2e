//! What the acceptor counts.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::counts::{Counters, ERRNOS, Rejection, Snapshot};

/// What the acceptor counts.
#[derive(Debug, Default)]
pub struct AcceptStats {
    /// Refused connections, indexed by [`Rejection`].
    pub rejected: [AtomicU64; Rejection::ALL.len()],
    /// Errors of accept, indexed by [`ERRNOS`].
    pub errors: [AtomicU64; ERRNOS.len()],
    /// Held while a connection is accepted. The admin endpoint holds it while it swaps its spare
    /// descriptor for a client, which would otherwise go to a connection that waits here.
    pub accepting: Mutex<()>,
}

impl AcceptStats {
    /// Adds what was counted.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        let Counters { rejected, accept_errors, .. } = &mut snapshot.counted;
        let cells = self.rejected.iter().zip(rejected);
        for (cell, sum) in cells.chain(self.errors.iter().zip(accept_errors)) {
            *sum += cell.load(Relaxed);
        }
    }
}
