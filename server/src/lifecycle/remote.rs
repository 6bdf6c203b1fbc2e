//! What commands of the admin endpoint act on, beside the settings and the connections.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::loader::ConfigLoader;

/// What commands act on. A server obeys them once it waits for signals; one that its program drains and
/// reloads does not.
#[derive(Debug, Default)]
pub struct RemoteControl {
    /// The way to load the configuration again, if the program has one. Set once the server obeys.
    loader: OnceLock<Option<Arc<ConfigLoader>>>,
    drain: Notify,
}

impl RemoteControl {
    /// From now on the server drains when it is asked to, and reloads by `loader`.
    pub fn obey(&self, loader: Option<Arc<ConfigLoader>>) {
        // A server waits for signals once.
        let _ = self.loader.set(loader);
    }

    /// Waits until a drain is asked for.
    pub async fn drain_asked(&self) {
        self.drain.notified().await;
    }

    /// Asks for a drain. Returns whether the server obeys.
    #[cfg(feature = "admin")]
    pub(crate) fn ask_to_drain(&self) -> bool {
        let obeys = self.loader.get().is_some();
        if obeys {
            self.drain.notify_one();
        }
        obeys
    }

    /// The way to load the configuration again, if there is one.
    #[cfg(feature = "admin")]
    pub(crate) fn loader(&self) -> Option<&Arc<ConfigLoader>> {
        self.loader.get()?.as_ref()
    }
}
