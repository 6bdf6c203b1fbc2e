//! What the admin port tells of a server of several processes.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

use super::{crew::Crew, process::Wish};
use crate::{
    admin,
    exporter::{Process, Snapshot},
    front::Front,
};

/// How long a scrape waits for the workers' numbers. Of one that is slower, stopped say, those stand
/// that it told last.
const COUNT_MAX: Duration = Duration::from_millis(500);

/// The server as a whole.
#[derive(Debug)]
pub(super) struct Supervised {
    pub(super) front: Front,
    pub(super) crew: Arc<Crew>,
    pub(super) wishes: Box<[mpsc::Sender<Wish>]>,
    pub(super) process: Process,
}

impl Supervised {
    /// Has every worker tell its numbers.
    async fn count(&self) {
        let ask = |worker: &mpsc::Sender<Wish>| {
            let (told, wait) = oneshot::channel();
            worker.try_send(Wish::Count(told)).ok().map(|()| wait)
        };
        let asked: Vec<_> = self.wishes.iter().filter_map(ask).collect();
        let all = async {
            for worker in asked {
                // One that dies now has told all it could.
                let _ = worker.await;
            }
        };
        let _ = timeout(COUNT_MAX, all).await;
    }
}

impl admin::Subject for Arc<Supervised> {
    fn front(&self) -> &Front {
        &self.front
    }

    async fn snapshot(&self) -> Snapshot {
        self.count().await;
        let mut total = self.crew.total();
        self.front.accept.add_to(&mut total);
        self.process.add_to(&mut total);
        total
    }
}
