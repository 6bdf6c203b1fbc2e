use std::{fmt, sync::Arc};

use crate::{counts::Snapshot, lifecycle::ServerState};

/// What the admin endpoint tells about: a server that is this process, or the processes it
/// supervises.
pub trait StatusSource: fmt::Debug + Send + Sync + 'static {
    /// What is known at the door.
    fn state(&self) -> &ServerState;

    /// The numbers, at least as new as those of the call before.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send;
}

impl<S: StatusSource> StatusSource for Arc<S> {
    fn state(&self) -> &ServerState {
        S::state(self)
    }

    async fn snapshot(&self) -> Snapshot {
        S::snapshot(self).await
    }
}
