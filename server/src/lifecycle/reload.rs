//! SIGHUP: loads the settings again and applies those that can change in a running server.

use towline_config::{Effective, Errors, PendingRestart, Settings};

use super::{ServerState, loader::ConfigLoader, signals::HangUpSignal};
use crate::RunError;

/// Loads the settings of a server, at every reload.
pub trait ConfigSource: Send + Sync + 'static {
    /// Loads all settings and validates them. Called on a thread that may block.
    ///
    /// # Errors
    /// With every mistake found. The server keeps its settings.
    fn load(&self) -> Result<Effective, Errors>;

    /// Called with the settings in force after a reload, for parts of the program outside the server,
    /// such as its log.
    fn applied(&self, settings: &Settings);
}

/// A server, of one process or of several, whose settings can be reloaded.
pub trait Reloadable {
    /// The state of the server.
    fn state(&self) -> &ServerState;

    /// Applies the settings that can change in a running server, and counts the reload. Returns the
    /// differences that take effect only after a restart. After an error nothing has changed.
    fn apply(
        &self,
        wanted: &Effective,
    ) -> impl Future<Output = Result<Vec<PendingRestart>, RunError>>;
}

/// Reloads at each SIGHUP, and never returns. Signals during a reload cause one more.
pub async fn reload_on_sighup(
    hang_up: &mut HangUpSignal,
    loader: Option<&ConfigLoader>,
    server: &impl Reloadable,
) {
    loop {
        hang_up.next().await;
        match loader {
            Some(loader) => reload(loader, server).await,
            None => tracing::warn!("SIGHUP ignored: the program has no configuration source"),
        }
    }
}

/// Logs each SIGHUP during a drain, and never returns.
pub async fn ignore_sighup(hang_up: &mut HangUpSignal) {
    loop {
        hang_up.next().await;
        tracing::warn!("SIGHUP ignored: the server is draining");
    }
}

async fn reload(loader: &ConfigLoader, server: &impl Reloadable) {
    let state = server.state();
    let wanted = match loader.load().await {
        Ok(Ok(wanted)) => wanted,
        Ok(Err(errors)) => {
            state.reloads.count(false);
            for error in &errors {
                tracing::error!("configuration not reloaded: {error}");
            }
            return;
        }
        Err(error) => {
            state.reloads.count(false);
            tracing::error!(%error, "configuration not reloaded");
            return;
        }
    };
    match server.apply(&wanted).await {
        Ok(pending) => {
            loader.applied(&state.effective().settings);
            for difference in &pending {
                tracing::warn!("{difference}");
            }
            tracing::info!(needing_restart = pending.len(), "configuration reloaded");
        }
        Err(error) => tracing::error!("configuration not reloaded: {error}"),
    }
}
