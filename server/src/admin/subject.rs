use std::fmt;

use crate::{exporter::Snapshot, front::Front};

/// What the admin endpoint tells about: a server that is this process, or the processes it
/// supervises.
pub(crate) trait Subject: fmt::Debug + Send + Sync + 'static {
    /// What is known at the door.
    fn front(&self) -> &Front;

    /// The numbers, at least as new as those of the call before.
    fn snapshot(&self) -> impl Future<Output = Snapshot> + Send;
}
