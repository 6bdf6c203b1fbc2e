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
#[cfg(feature = "tls")]
use towline_config::Tls;
use towline_config::{Effective, Errors, Settings};

use super::reload::ConfigSource;
use crate::RunError;
#[cfg(feature = "tls")]
use crate::tls::{FileStamps, Material};

/// What the thread is asked for.
enum Request {
    Load(oneshot::Sender<Result<Effective, Errors>>),
    /// The files of these settings.
    #[cfg(feature = "tls")]
    ReadTls(Tls, oneshot::Sender<Read>),
    /// Whether those files have changed.
    #[cfg(feature = "tls")]
    LookAtTls(Tls, oneshot::Sender<FileStamps>),
}

/// Certificates and keys that were read, or why not.
#[cfg(feature = "tls")]
pub(super) type Read = Result<Option<Material>, RunError>;

/// Loads the settings on a thread of its own: a file system that does not answer must not delay the
/// signal to stop.
///
/// The thread is started with the server and kept. A thread started at the reload would be missing where
/// the host allows no further one, which is when an operator wants to lower a limit.
pub struct ConfigLoader {
    source: Arc<dyn ConfigSource>,
    requests: SyncSender<Request>,
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
        let (requests, next) = sync_channel::<Request>(1);
        let loading = source.clone();
        let load = move || {
            for request in next {
                // After a panic the answer is dropped unsent, which is an error to its receiver.
                let _ = panic::catch_unwind(AssertUnwindSafe(|| match request {
                    Request::Load(answer) => drop(answer.send(loading.load())),
                    #[cfg(feature = "tls")]
                    Request::ReadTls(files, answer) => drop(answer.send(Material::read(&files))),
                    #[cfg(feature = "tls")]
                    Request::LookAtTls(files, answer) => {
                        drop(answer.send(FileStamps::of(&files)));
                    }
                }));
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
        self.ask(Request::Load).await
    }

    /// Reads the certificates and keys that the settings name.
    ///
    /// # Errors
    /// When that panicked.
    #[cfg(feature = "tls")]
    pub(super) async fn read_tls(&self, files: Tls) -> io::Result<Read> {
        self.ask(|answer| Request::ReadTls(files, answer)).await
    }

    /// Looks whether those files have changed.
    ///
    /// # Errors
    /// When that panicked.
    #[cfg(feature = "tls")]
    pub(super) async fn look_at_tls(&self, files: Tls) -> io::Result<FileStamps> {
        self.ask(|answer| Request::LookAtTls(files, answer)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> io::Result<T> {
        let failed = || io::Error::other("the thread that loads it failed");
        let _one_at_a_time = self.loading.lock().await;
        let (answer, answered) = oneshot::channel();
        self.requests.try_send(request(answer)).map_err(|_stopped| failed())?;
        answered.await.map_err(|_panicked| failed())
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
