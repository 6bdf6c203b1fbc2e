//! What the admin endpoint reports on.

use std::{fmt, sync::Arc};

use crate::{
    connections::ClosedJson, control::Controllable, counts::Snapshot, exporter::UserMetrics,
};

/// A server, as the admin endpoint sees it: this process, or several processes and their supervisor.
pub trait StatusSource: Controllable + fmt::Debug {
    /// Reads all counts and gauges. They are at least as new as those of the call before.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send;

    /// The last connections that ended, up to `max`, the newest first.
    fn closed(&self, max: usize) -> impl Future<Output = Vec<ClosedJson>> + Send;

    /// Whether any process takes connections. Default: true.
    fn is_served(&self) -> bool {
        true
    }

    /// Metrics of the program that the server is part of. Default: none.
    fn user_metrics(&self) -> Option<&UserMetrics> {
        None
    }
}

impl<S: StatusSource> StatusSource for Arc<S> {
    async fn snapshot(&self) -> Snapshot {
        S::snapshot(self).await
    }

    async fn closed(&self, max: usize) -> Vec<ClosedJson> {
        S::closed(self, max).await
    }

    fn is_served(&self) -> bool {
        S::is_served(self)
    }

    fn user_metrics(&self) -> Option<&UserMetrics> {
        S::user_metrics(self)
    }
}
