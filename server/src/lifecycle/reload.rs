//! SIGHUP: settings are loaded again, and taken over as far as a running server can.

use std::sync::Arc;

use tokio::task::spawn_blocking;
use towline_config::{Effective, Errors, PendingRestart, Settings};

use super::{ServerState, signals::HangUpSignal};
use crate::RunError;

/// Where a server's settings come from, asked again at every reload.
pub trait ConfigSource: Send + Sync + 'static {
    /// Loads all of it anew and validates the whole.
    ///
    /// # Errors
    /// With every mistake found. The server goes on with what it has.
    fn load(&self) -> Result<Effective, Errors>;

    /// Told what the server runs with since a reload, for what a process has beside its server, such
    /// as the level of its log.
    fn applied(&self, settings: &Settings);
}

/// A server, of one process or of several, that new settings can be loaded into.
pub trait Reloadable {
    fn state(&self) -> &ServerState;

    /// Takes over what can change while it runs, counts the attempt, and returns what takes effect
    /// only when it starts again. After an error nothing has changed.
    fn load(
        &self,
        wanted: &Effective,
    ) -> impl Future<Output = Result<Vec<PendingRestart>, RunError>>;
}

/// Reloads at each SIGHUP, for ever. Signals that come while one is under way are one more.
pub async fn on_hang_up(
    hang_up: &mut HangUpSignal,
    source: Option<&Arc<dyn ConfigSource>>,
    server: &impl Reloadable,
) {
    loop {
        hang_up.next().await;
        match source {
            Some(source) => reload(source.clone(), server).await,
            None => tracing::warn!("SIGHUP ignored: the program gave nothing to load again"),
        }
    }
}

/// Says so at each SIGHUP, for ever.
pub async fn ignoring(hang_up: &mut HangUpSignal) {
    loop {
        hang_up.next().await;
        tracing::warn!("SIGHUP ignored: the server is draining");
    }
}

async fn reload(source: Arc<dyn ConfigSource>, server: &impl Reloadable) {
    let state = server.state();
    let loading = source.clone();
    // A file may be on a disk that does not answer, and a signal to stop must be heard meanwhile.
    let wanted = match spawn_blocking(move || loading.load()).await {
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
    match server.load(&wanted).await {
        Ok(kept) => {
            source.applied(&state.effective().settings);
            for difference in &kept {
                tracing::warn!("{difference}");
            }
            tracing::info!(needing_restart = kept.len(), "configuration reloaded");
        }
        Err(error) => tracing::error!("configuration not reloaded: {error}"),
    }
}
