//! Closing connections that are named.

use std::{collections::HashSet, sync::Arc, time::Duration};

use tokio::time::sleep;
use towline_middleware::stats::CloseReason;

use crate::{counts::PublicId, shard::PoolState};

/// How long a connection that is asked to close may wait for its peer to take its replies, or for its service to
/// answer what was read. Then it is cut.
pub const CLOSE_WAIT_MAX: Duration = Duration::from_secs(5);

impl PoolState {
    /// Closes those of `ids` that are open in this process, for `reason`: what was read is answered, and the
    /// client sees the end behind its replies, as in a drain. One that still waits for its client or its service
    /// after [`CLOSE_WAIT_MAX`] is cut. Returns those that were open. Needs a runtime.
    ///
    /// *Costs*: a reading of every connection of the shards of `ids`.
    pub fn close(self: &Arc<Self>, ids: &[PublicId], reason: CloseReason) -> Vec<PublicId> {
        let place = self.slots.closed().place();
        let (mut closed, mut closing) = (Vec::new(), Vec::new());
        for (shard, (signal, stats)) in self.signals.iter().zip(&self.stats).enumerate() {
            let worker = place.first_worker + shard;
            let wanted = ids.iter().filter(|id| id.worker == worker).map(|id| id.serial);
            let wanted: HashSet<_> = wanted.collect();
            if wanted.is_empty() {
                continue;
            }
            for row in signal.connections(stats.now()) {
                if wanted.contains(&row.id.serial) && signal.close(row.id, reason) {
                    closed.push(place.name(shard, row.id.serial));
                    closing.push((signal.clone(), row.id));
                }
            }
        }
        if !closing.is_empty() {
            tokio::spawn(async move {
                sleep(CLOSE_WAIT_MAX).await;
                for (signal, id) in closing {
                    signal.close_at_once(id, reason);
                }
            });
        }
        closed
    }
}
