//! The counts of the acceptor.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use super::listen::{Listener, NO_ENTRY};
#[cfg(feature = "admin")]
use crate::counts::ListenerConnections;
use crate::counts::{Counters, ERRNOS, Rejection, Snapshot};

/// Counts of connections that were not served.
#[derive(Debug, Default)]
pub struct AcceptStats {
    /// Connections by listener, indexed by the entry of `server.listen`. The last cell counts those of listeners
    /// that are no entry.
    pub listeners: Box<[ListenerCounts]>,
    /// Rejected connections, indexed by [`Rejection`].
    pub rejected: [AtomicU64; Rejection::ALL.len()],
    /// Errors of accept, indexed by [`ERRNOS`].
    pub errors: [AtomicU64; ERRNOS.len()],
    /// Held while a connection is accepted. The admin endpoint holds it while it releases its reserve
    /// descriptor for a client: the acceptor could otherwise take that for a connection.
    pub accept_lock: Mutex<()>,
}

/// Connections that came by one listener.
#[derive(Debug, Default)]
pub struct ListenerCounts {
    /// What metrics call it; `None` for a cell that no listener uses.
    pub label: Option<String>,
    /// Connections that were admitted.
    pub accepted: AtomicU64,
    /// Connections that were rejected.
    pub rejected: AtomicU64,
}

impl AcceptStats {
    /// Counts for these listeners.
    pub fn new(listeners: &[Listener]) -> Self {
        let entries = listeners.iter().map(Listener::index).filter(|index| *index != NO_ENTRY);
        let cells = entries.max().map_or(1, |last| last + 2);
        let mut cells: Box<[ListenerCounts]> = (0..cells).map(|_| Default::default()).collect();
        for listener in listeners {
            let cell = listener.index().min(cells.len() - 1);
            cells[cell].label.get_or_insert_with(|| listener.label().to_owned());
        }
        Self { listeners: cells, ..Self::default() }
    }

    /// Connections by listener.
    #[cfg(feature = "admin")]
    pub(crate) fn by_listener(&self) -> Vec<ListenerConnections> {
        let counts = |cell: &ListenerCounts| {
            let (accepted, rejected) = (cell.accepted.load(Relaxed), cell.rejected.load(Relaxed));
            Some(ListenerConnections { label: cell.label.clone()?, accepted, rejected })
        };
        self.listeners.iter().filter_map(counts).collect()
    }

    /// The counts of the listener with this index.
    pub fn of_listener(&self, index: u8) -> &ListenerCounts {
        &self.listeners[usize::from(index).min(self.listeners.len() - 1)]
    }

    /// Adds the counts to `snapshot`.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        let Counters { rejected, accept_errors, .. } = &mut snapshot.counted;
        let cells = self.rejected.iter().zip(rejected);
        for (cell, sum) in cells.chain(self.errors.iter().zip(accept_errors)) {
            *sum += cell.load(Relaxed);
        }
    }
}
