use std::{fmt, sync::Arc};

use crate::{counts::Snapshot, exporter::UserMetrics, lifecycle::ServerState};

/// What the admin endpoint tells about: a server that is this process, or the processes it
/// supervises.
pub trait StatusSource: fmt::Debug + Send + Sync + 'static {
    /// What is known at the door.
    fn state(&self) -> &ServerState;

    /// The numbers, at least as new as those of the call before.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send;

    /// Metrics of the program that the server is part of. Default: none.
    fn user_metrics(&self) -> Option<&UserMetrics> {
        None
    }
}

impl<S: StatusSource> StatusSource for Arc<S> {
    fn state(&self) -> &ServerState {
        S::state(self)
    }

    async fn snapshot(&self) -> Snapshot {
        S::snapshot(self).await
    }

    fn user_metrics(&self) -> Option<&UserMetrics> {
        S::user_metrics(self)
    }
}
