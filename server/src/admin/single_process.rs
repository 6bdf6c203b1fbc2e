//! The status of a server that is this process alone.

use std::{sync::Arc, thread};

use towline_config::PendingRestart;

use super::{Sockets, StatusSource, start};
use crate::{
    RunError,
    connections::{Closed, ClosedJson, Closing, Rows, WantedRows},
    control::Controllable,
    counts::{ProcessState, PublicId, Snapshot},
    exporter::{CountsReader, UserMetrics},
    lifecycle::{Control, ServerState, Wanted, reload::Reloadable},
    shard::{PoolState, ShardPool},
};

/// A server that is this process alone.
#[derive(Debug)]
struct SingleProcess {
    control: Control,
    pool: Arc<PoolState>,
    reader: CountsReader,
    user_metrics: Option<UserMetrics>,
}

impl Sockets {
    /// Serves the status of `shards` until they are cut.
    pub(crate) fn serve(
        self,
        state: Arc<ServerState>,
        shards: &ShardPool,
        user_metrics: Option<UserMetrics>,
    ) -> Result<thread::JoinHandle<()>, RunError> {
        let control = Control::new(state, shards.state().clone());
        let reader = CountsReader::new(shards.state().clone());
        let pool = shards.state().clone();
        start(self, SingleProcess { control, pool, reader, user_metrics }, shards.until_cut())
    }
}

impl Reloadable for SingleProcess {
    fn state(&self) -> &ServerState {
        self.control.state()
    }

    async fn apply(&self, wanted: &Wanted<'_>) -> Result<Vec<PendingRestart>, RunError> {
        self.control.apply(wanted).await
    }
}

impl Controllable for SingleProcess {
    async fn rows(&self, wanted: WantedRows) -> Rows {
        self.pool.rows(&wanted)
    }

    async fn close(&self, ids: &[PublicId], how: Closing) -> Closed {
        Closed { missing: self.pool.close(ids, how), partial: false }
    }
}

impl StatusSource for SingleProcess {
    async fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.reader.read();
        snapshot.held.processes[ProcessState::Serving as usize] = 1;
        self.state().add_to(&mut snapshot);
        snapshot
    }

    async fn closed(&self, max: usize) -> Vec<ClosedJson> {
        self.pool.closed(max)
    }

    fn user_metrics(&self) -> Option<&UserMetrics> {
        self.user_metrics.as_ref()
    }
}
