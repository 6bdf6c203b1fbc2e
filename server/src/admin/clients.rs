//! The clients of the admin port: how many there may be, and which of them is evicted for another.

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

/// A client without a complete request after this time may be evicted when the table is full. Honest
/// clients send their request at once.
const EVICTABLE_AFTER: Duration = Duration::from_millis(100);

/// The connected clients, oldest first.
///
/// Without eviction, a thousand clients that never finish their request would keep all others out, and
/// monitoring would be blind while the server is attacked.
#[derive(Debug, Default)]
pub(super) struct AdminClients {
    clients: VecDeque<Client>,
    client_left: Arc<Notify>,
}

#[derive(Debug)]
struct Client {
    connected: Instant,
    request_seen: RequestSeen,
    exchange: AbortHandle,
}

/// Whether a client's request has arrived in full.
#[derive(Debug, Clone, Default)]
pub(super) struct RequestSeen(Arc<AtomicBool>);

impl RequestSeen {
    pub(super) fn set(&self) {
        self.0.store(true, Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl AdminClients {
    /// Waits until the table has a free slot, and evicts the oldest client without a request if it
    /// must.
    pub(super) async fn free_slot(&mut self) {
        loop {
            self.clients.retain(|client| !client.exchange.is_finished());
            if self.clients.len() < CLIENTS_MAX {
                return;
            }
            let evictable = |client: &Client| {
                !client.request_seen.get() && client.connected.elapsed() >= EVICTABLE_AFTER
            };
            if let Some(at) = self.clients.iter().position(evictable) {
                self.clients.remove(at).into_iter().for_each(|client| client.exchange.abort());
                return;
            }
            // Until a client leaves, or the next one becomes evictable.
            let _ = timeout(EVICTABLE_AFTER / 10, self.client_left.notified()).await;
        }
    }

    /// Adds a client and runs its exchange in a task of its own.
    pub(super) fn add(
        &mut self,
        request_seen: RequestSeen,
        exchange: impl Future<Output = ()> + Send + 'static,
    ) {
        let client_left = self.client_left.clone();
        let exchange = tokio::spawn(async move {
            exchange.await;
            client_left.notify_one();
        });
        let exchange = exchange.abort_handle();
        self.clients.push_back(Client { connected: Instant::now(), request_seen, exchange });
    }
}
