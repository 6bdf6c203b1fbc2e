//! The counts of the acceptor.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::counts::{Counters, ERRNOS, Rejection, Snapshot};

/// Counts of connections that were not served.
#[derive(Debug, Default)]
pub struct AcceptStats {
    /// Rejected connections, indexed by [`Rejection`].
    pub rejected: [AtomicU64; Rejection::ALL.len()],
    /// Errors of accept, indexed by [`ERRNOS`].
    pub errors: [AtomicU64; ERRNOS.len()],
    /// Held while a connection is accepted. The admin endpoint holds it while it releases its reserve
    /// descriptor for a client: the acceptor could otherwise take that for a connection.
    pub accept_lock: Mutex<()>,
}

impl AcceptStats {
    /// Adds the counts to `snapshot`.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        let Counters { rejected, accept_errors, .. } = &mut snapshot.counted;
        let cells = self.rejected.iter().zip(rejected);
        for (cell, sum) in cells.chain(self.errors.iter().zip(accept_errors)) {
            *sum += cell.load(Relaxed);
        }
    }
}
