//! The status of a server that is this process alone.

use std::{sync::Arc, thread};

use super::{Socket, StatusSource, start};
use crate::{
    RunError,
    connections::{ClosedJson, Rows},
    counts::{ProcessState, Snapshot},
    exporter::{CountsReader, UserMetrics},
    lifecycle::ServerState,
    shard::{PoolState, ShardPool},
};

/// A server that is this process alone.
#[derive(Debug)]
struct SingleProcess {
    state: Arc<ServerState>,
    pool: Arc<PoolState>,
    reader: CountsReader,
    user_metrics: Option<UserMetrics>,
}

impl Socket {
    /// Serves the status of `shards` until they are cut.
    pub(crate) fn serve(
        self,
        state: Arc<ServerState>,
        shards: &ShardPool,
        user_metrics: Option<UserMetrics>,
    ) -> Result<thread::JoinHandle<()>, RunError> {
        let reader = CountsReader::new(shards.state().clone());
        let pool = shards.state().clone();
        start(self, SingleProcess { state, pool, reader, user_metrics }, shards.until_cut())
    }
}

impl StatusSource for SingleProcess {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.reader.read();
        snapshot.held.processes[ProcessState::Serving as usize] = 1;
        self.state.add_to(&mut snapshot);
        snapshot
    }

    async fn rows(&self) -> Rows {
        Rows { rows: self.pool.rows(), partial: false }
    }

    async fn closed(&self, max: usize) -> Vec<ClosedJson> {
        self.pool.closed(max)
    }

    fn user_metrics(&self) -> Option<&UserMetrics> {
        self.user_metrics.as_ref()
    }
}
