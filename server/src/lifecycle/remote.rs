//! What commands of the admin endpoint act on, beside the settings and the connections.

use std::sync::{Arc, OnceLock};
#[cfg(feature = "admin")]
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::Notify;
#[cfg(feature = "admin")]
use tokio::time::Instant;

use super::loader::ConfigLoader;

/// What commands act on. A server obeys them once it waits for signals; one that its program drains and
/// reloads does not.
#[derive(Debug, Default)]
pub struct RemoteControl {
    /// The way to load the configuration again, if the program has one. Set once the server obeys.
    loader: OnceLock<Option<Arc<ConfigLoader>>>,
    drain: Notify,
    /// The time in which a share of the connections is closed.
    #[cfg(feature = "admin")]
    pub(crate) share_drain: OneAtATime,
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

/// Something that takes a time known before, and that runs once at a time.
#[cfg(feature = "admin")]
#[derive(Debug, Default)]
pub(crate) struct OneAtATime(Mutex<Option<Instant>>);

#[cfg(feature = "admin")]
impl OneAtATime {
    /// Begins something that ends after `duration`.
    ///
    /// # Errors
    /// With the time that is left of what runs already.
    pub(crate) fn begin(&self, duration: Duration) -> Result<(), Duration> {
        let mut until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match *until {
            Some(end) if end > now => Err(end - now),
            _ => {
                *until = Some(now + duration);
                Ok(())
            }
        }
    }
}
