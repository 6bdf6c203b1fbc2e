//! Who is at the admin port, and who makes room there.

use std::{
    collections::VecDeque,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::Notify,
    task::AbortHandle,
    time::{Instant, timeout},
};

/// Most clients at once; more wait in the kernel's queue.
const CLIENTS_MAX: usize = 128;

/// Who has not request_seen by then makes room for the next when there is none. A client that means it asks
/// at once.
const DAWDLES: Duration = Duration::from_millis(100);

/// The clients there are, in the order in which they came.
///
/// Without making room, a thousand that never finish asking would keep everybody else away, and
/// whoever watches the server blind while it is being attacked.
#[derive(Debug, Default)]
pub(super) struct AdminClients {
    all: VecDeque<Guest>,
    left: Arc<Notify>,
}

#[derive(Debug)]
struct Guest {
    came: Instant,
    request_seen: RequestSeen,
    exchange: AbortHandle,
}

/// Whether a client's request has come in whole.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestSeen(Arc<AtomicBool>);

impl RequestSeen {
    pub(super) fn note(&self) {
        self.0.store(true, Relaxed);
    }
}

impl AdminClients {
    /// Waits until there is room for one more, which may cost somebody who dawdles his.
    pub(super) async fn room(&mut self) {
        loop {
            self.all.retain(|guest| !guest.exchange.is_finished());
            if self.all.len() < CLIENTS_MAX {
                return;
            }
            let dawdles = |guest: &Guest| {
                !guest.request_seen.0.load(Relaxed) && guest.came.elapsed() >= DAWDLES
            };
            if let Some(at) = self.all.iter().position(dawdles) {
                self.all.remove(at).into_iter().for_each(|guest| guest.exchange.abort());
                return;
            }
            // Whoever leaves meanwhile makes room; else somebody may have dawdled long enough.
            let _ = timeout(DAWDLES / 10, self.left.notified()).await;
        }
    }

    /// Runs a client's exchange beside the others.
    pub(super) fn enter(
        &mut self,
        request_seen: RequestSeen,
        exchange: impl Future<Output = ()> + Send + 'static,
    ) {
        let left = self.left.clone();
        let exchange = tokio::spawn(async move {
            exchange.await;
            left.notify_one();
        });
        let exchange = exchange.abort_handle();
        self.all.push_back(Guest { came: Instant::now(), request_seen, exchange });
    }
}
