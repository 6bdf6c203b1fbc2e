//! Closing connections that are named.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;
use towline_middleware::stats::CloseReason;

use crate::{counts::PublicId, shard::PoolState};

/// How long a connection that is asked to close may wait for its peer to take its replies, or for its service to
/// answer what was read. Then it is cut.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

/// How connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Closing {
    /// In order, and after [`CLOSE_WAIT_MAX`] without waiting for the peer or the service.
    Kill,
    /// Without waiting for the peer or the service.
    KillAtOnce,
    /// As a drain does.
    Drain,
}

/// What came of closing connections.
#[derive(Debug, Default)]
pub struct Closed {
    /// The connections that are not open.
    pub missing: Vec<PublicId>,
    /// A process did not answer; its connections are missing too.
    pub partial: bool,
}

impl PoolState {
    /// Closes those of `ids` that are open in this process. In order, what was read is answered, and the client
    /// sees the end behind its replies, as in a drain. Returns those that are not open. Needs a runtime.
    ///
    /// *Costs*: a reading of every connection of the shards of `ids`.
    pub fn close(self: &Arc<Self>, ids: &[PublicId], how: Closing) -> Vec<PublicId> {
        let first_worker = self.slots.closed().place().first_worker;
        let mut missing: HashSet<PublicId> = ids.iter().copied().collect();
        let mut closing = Vec::new();
        for (shard, (signal, stats)) in self.signals.iter().zip(&self.stats).enumerate() {
            let of_shard = ids.iter().filter(|id| id.worker == first_worker + shard);
            let wanted: HashMap<_, _> = of_shard.map(|id| (id.serial, *id)).collect();
            if wanted.is_empty() {
                continue;
            }
            for row in signal.connections(stats.now()) {
                let Some(id) = wanted.get(&row.id.serial) else { continue };
                let is_open = match how {
                    Closing::Kill => signal.close(row.id, CloseReason::Admin),
                    Closing::KillAtOnce => signal.close_at_once(row.id, CloseReason::Admin),
                    Closing::Drain => signal.close(row.id, CloseReason::Drain),
                };
                if is_open {
                    missing.remove(id);
                    closing.push((signal.clone(), row.id));
                }
            }
        }
        if how == Closing::Kill && !closing.is_empty() {
            tokio::spawn(async move {
                sleep(CLOSE_WAIT_MAX).await;
                for (signal, id) in closing {
                    signal.close_at_once(id, CloseReason::Admin);
                }
            });
        }
        missing.into_iter().collect()
    }
}
