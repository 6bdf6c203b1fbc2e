//! What the acceptor counts.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::counts::{Counted, ERRNOS, Refusal, Snapshot};

/// What the acceptor counts.
#[derive(Debug, Default)]
pub struct AcceptStats {
    /// Refused connections, indexed by [`Refusal`].
    pub rejected: [AtomicU64; Refusal::ALL.len()],
    /// Errors of accept, indexed by [`ERRNOS`].
    pub errors: [AtomicU64; ERRNOS.len()],
    /// Held while a connection is accepted. The admin endpoint holds it while it swaps its spare
    /// descriptor for a client, which would otherwise go to a connection that waits here.
    pub accepting: Mutex<()>,
}

impl AcceptStats {
    /// Adds what was counted.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        let Counted { rejected, accept_errors, .. } = &mut snapshot.counted;
        let cells = self.rejected.iter().zip(rejected);
        for (cell, sum) in cells.chain(self.errors.iter().zip(accept_errors)) {
            *sum += cell.load(Relaxed);
        }
    }
}
