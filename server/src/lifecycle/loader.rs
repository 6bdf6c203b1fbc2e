//! The thread that loads the settings at each reload.

use std::{
    fmt, io,
    panic::{self, AssertUnwindSafe},
    sync::{
        Arc,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use tokio::sync::oneshot;
use towline_config::{Effective, Errors, Settings};

use super::reload::ConfigSource;
use crate::RunError;

/// Where a loaded configuration is sent.
type Answer = oneshot::Sender<Result<Effective, Errors>>;

/// Loads the settings on a thread of its own: a file system that does not answer must not delay the
/// signal to stop.
///
/// The thread is started with the server and kept. A thread started at the reload would be missing where
/// the host allows no further one, which is when an operator wants to lower a limit.
pub struct ConfigLoader {
    source: Arc<dyn ConfigSource>,
    requests: SyncSender<Answer>,
    /// Held by the reload that waits for its answer.
    loading: tokio::sync::Mutex<()>,
}

impl ConfigLoader {
    /// Starts the thread. It ends after the loader is dropped.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(source: Arc<dyn ConfigSource>) -> Result<Self, RunError> {
        // One request at a time: a reload waits for its answer.
        let (requests, next) = sync_channel::<Answer>(1);
        let loading = source.clone();
        let load = move || {
            for answer in next {
                // After a panic the answer is dropped unsent, which is an error to its receiver.
                if let Ok(loaded) = panic::catch_unwind(AssertUnwindSafe(|| loading.load())) {
                    let _ = answer.send(loaded);
                }
            }
        };
        match thread::Builder::new().name("reload".into()).spawn(load) {
            Ok(_) => Ok(Self { source, requests, loading: tokio::sync::Mutex::default() }),
            Err(error) => Err(RunError::failed("a thread cannot be started", &error)),
        }
    }

    /// Loads the settings.
    ///
    /// # Errors
    /// When loading panicked.
    pub(super) async fn load(&self) -> io::Result<Result<Effective, Errors>> {
        let failed = || io::Error::other("the thread that loads it failed");
        let _one_at_a_time = self.loading.lock().await;
        let (answer, loaded) = oneshot::channel();
        self.requests.try_send(answer).map_err(|_stopped| failed())?;
        loaded.await.map_err(|_panicked| failed())
    }

    /// Calls the source with the settings in force after a reload.
    pub(crate) fn applied(&self, settings: &Settings) {
        self.source.applied(settings);
    }
}

impl fmt::Debug for ConfigLoader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigLoader").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use super::*;
    use crate::lifecycle::control::programmatic;

    /// Panics at each second load.
    struct Source(AtomicU32);

    impl ConfigSource for Source {
        fn load(&self) -> Result<Effective, Errors> {
            assert!(self.0.fetch_add(1, Relaxed).is_multiple_of(2), "this load fails");
            Ok(programmatic(Settings::default()))
        }

        fn applied(&self, _: &Settings) {}
    }

    #[tokio::test]
    async fn a_load_that_panics_fails_and_the_next_one_is_made() {
        let loader = ConfigLoader::start(Arc::new(Source(0.into()))).expect("a thread");
        for is_loaded in [true, false, true, false, true] {
            assert_eq!(loader.load().await.is_ok(), is_loaded);
        }
    }
}
