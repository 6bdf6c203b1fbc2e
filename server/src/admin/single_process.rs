//! The status of a server that is this process alone.

use std::{sync::Arc, thread};

use super::{Socket, StatusSource, start};
use crate::{
    RunError,
    counts::{ProcessState, Snapshot},
    exporter::{CountsReader, UserMetrics},
    lifecycle::ServerState,
    shard::ShardPool,
};

/// A server that is this process alone.
#[derive(Debug)]
struct SingleProcess {
    state: Arc<ServerState>,
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
        start(self, SingleProcess { state, reader, user_metrics }, shards.until_cut())
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

    fn user_metrics(&self) -> Option<&UserMetrics> {
        self.user_metrics.as_ref()
    }
}
