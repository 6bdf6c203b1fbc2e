use std::{fmt, sync::Arc};

use crate::{counts::Snapshot, lifecycle::Front};

/// What the admin endpoint tells about: a server that is this process, or the processes it
/// supervises.
pub trait Subject: fmt::Debug + Send + Sync + 'static {
    /// What is known at the door.
    fn front(&self) -> &Front;

    /// The numbers, at least as new as those of the call before.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send;
}

impl<S: Subject> Subject for Arc<S> {
    fn front(&self) -> &Front {
        S::front(self)
    }

    async fn snapshot(&self) -> Snapshot {
        S::snapshot(self).await
    }
}
