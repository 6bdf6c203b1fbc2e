//! The files of certificates and keys, looked at while the server runs.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::spawn_blocking, time::sleep};
use towline_config::{Effective, Errors, Settings, Tls};

use super::{
    Control, Wanted,
    control::programmatic,
    loader::ConfigLoader,
    reload::{ConfigSource, Reloadable, read_tls},
};
use crate::{
    RunError,
    live_config::LiveConfig,
    tls::{FileStamps, Material, TlsSource},
};

/// Time between two looks at the files.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// A server whose files are looked at.
trait Watched: Sync {
    /// How the files stand now; `None` if that could not be found out.
    fn look(&self) -> impl Future<Output = Option<FileStamps>> + Send;

    /// Reads them, and takes them over.
    fn reload(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Where reloads are counted.
    fn source(&self) -> &TlsSource;
}

/// Has files read again when they have changed since they were `seen`, and never returns.
///
/// A pair that does not match, as between the writes of its two files, keeps the one before; the next change is looked
/// at like the first.
async fn watch_files(server: &impl Watched, mut seen: Option<FileStamps>) {
    loop {
        // A panic of the thread that looks is reported where it happens.
        if let Some(now) = server.look().await
            && seen.replace(now.clone()).is_some_and(|before| before != now)
        {
            match server.reload().await {
                Ok(()) => tracing::info!("certificates reloaded: a file has changed"),
                Err(why) => {
                    server.source().count(false);
                    tracing::error!("certificates not reloaded, those of before stay: {why}");
                }
            }
        }
        sleep(LOOK_INTERVAL).await;
    }
}

/// A server that reloads its settings as well.
struct WithSettings<'a, S> {
    loader: &'a ConfigLoader,
    server: &'a S,
}

impl<S: Reloadable + Send + Sync> Watched for WithSettings<'_, S> {
    async fn look(&self) -> Option<FileStamps> {
        let files = self.server.state().effective().settings.tls.clone();
        self.loader.look_at_tls(files).await.ok()
    }

    async fn reload(&self) -> Result<(), String> {
        let Some(material) = read_tls(self.loader, self.server.state()).await? else {
            return Ok(());
        };
        let applied = self.server.apply(&Wanted::Files(material)).await;
        applied.map(drop).map_err(|why| why.to_string())
    }

    fn source(&self) -> &TlsSource {
        &self.server.state().tls
    }
}

/// Reads certificates and keys again when their files have changed, and never returns.
pub async fn reload_changed_files<S>(loader: Option<&ConfigLoader>, server: &S)
where
    S: Reloadable + Send + Sync,
{
    match loader {
        Some(loader) if server.state().tls.material().is_some() => {
            watch_files(&WithSettings { loader, server }, None).await;
        }
        _ => std::future::pending().await,
    }
}

/// The settings of a program are those in force: it has no file of them.
struct OfProgram(Control);

impl ConfigSource for OfProgram {
    fn load(&self) -> Result<Effective, Errors> {
        Ok(programmatic(self.0.settings()))
    }

    fn applied(&self, _: &Settings) {}
}

/// As [`reload_changed_files`], for the server of a program, whose files were `seen` before they were read.
///
/// # Errors
/// When the thread that reads cannot be started.
pub(crate) fn reload_files_of_program(
    control: Control,
    seen: FileStamps,
) -> Result<impl Future<Output = ()> + Send + 'static, RunError> {
    let loader = ConfigLoader::start(Arc::new(OfProgram(control.clone())))?;
    Ok(async move {
        watch_files(&WithSettings { loader: &loader, server: &control }, Some(seen)).await;
    })
}

/// A server in the runtime of a program: files are read by the runtime's threads for what blocks.
pub(crate) struct FilesInRuntime {
    config: Arc<watch::Sender<LiveConfig>>,
    source: TlsSource,
    seen: FileStamps,
}

impl FilesInRuntime {
    /// Of the server with this configuration, whose files were `seen` before they were read.
    pub(crate) fn new(config: Arc<watch::Sender<LiveConfig>>, seen: FileStamps) -> Self {
        let source = TlsSource::of(config.borrow().tls.as_ref());
        Self { config, source, seen }
    }

    /// Reads certificates and keys again when their files have changed, and never returns.
    pub(crate) async fn run(self) {
        let seen = self.seen.clone();
        watch_files(&self, Some(seen)).await;
    }

    fn settings(&self) -> Tls {
        self.config.borrow().effective.settings.tls.clone()
    }
}

impl Watched for FilesInRuntime {
    async fn look(&self) -> Option<FileStamps> {
        let files = self.settings();
        spawn_blocking(move || FileStamps::of(&files)).await.ok()
    }

    async fn reload(&self) -> Result<(), String> {
        let settings = self.settings();
        let files = settings.clone();
        let read = spawn_blocking(move || Material::read(&files)).await;
        let read = read.map_err(|panicked| panicked.to_string())?;
        let Some(material) = read.map_err(|why| why.to_string())? else { return Ok(()) };
        let change = self.source.change(Some(&Arc::new(material)), &settings, &settings);
        if let Some(change) = change.map_err(|why| why.to_string())? {
            self.source.set(change.material.clone());
            self.config.send_modify(|config| config.tls = Some(change));
        }
        Ok(())
    }

    fn source(&self) -> &TlsSource {
        &self.source
    }
}
