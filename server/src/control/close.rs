//! Closing connections of this process.

use std::collections::HashMap;

use towline_middleware::stats::CloseReason;

use crate::{counts::PublicId, shard::PoolState};

/// How connections are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Closing {
    /// In order: what was read is answered.
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
    /// Asks connections of this process to close. Returns those that are not open here.
    ///
    /// *Costs*: some ten nanoseconds for each open connection of the shards, whether it is closed or not.
    pub fn close(&self, ids: &[PublicId], how: Closing) -> Vec<PublicId> {
        let first = self.slots.closed().place().first_worker;
        let mut missing = Vec::new();
        let mut by_shard: Vec<Vec<PublicId>> = vec![Vec::new(); self.signals.len()];
        for id in ids {
            let shard = id.worker.checked_sub(first).and_then(|shard| by_shard.get_mut(shard));
            match shard {
                Some(shard) => shard.push(*id),
                None => missing.push(*id),
            }
        }
        for (shard, ids) in by_shard.into_iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
            let signal = &self.signals[shard];
            let rows = signal.connections(self.stats[shard].now());
            let slots: HashMap<_, _> = rows.iter().map(|row| (row.id.serial, row.id)).collect();
            let close = |id: &PublicId| {
                slots.get(&id.serial).is_some_and(|id| match how {
                    Closing::Kill => signal.close(*id, CloseReason::Admin),
                    Closing::KillAtOnce => signal.close_at_once(*id, CloseReason::Admin),
                    Closing::Drain => signal.close(*id, CloseReason::Drain),
                })
            };
            missing.extend(ids.into_iter().filter(|id| !close(id)));
        }
        missing
    }
}
