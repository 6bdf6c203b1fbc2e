//! SIGHUP: loads the settings again and applies those that can change in a running server.

use std::sync::Arc;

use towline_config::{Effective, Errors, PendingRestart, Settings};

use super::{ServerState, Wanted, loader::ConfigLoader, signals::HangUpSignal};
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
        wanted: &Wanted<'_>,
    ) -> impl Future<Output = Result<Vec<PendingRestart>, RunError>> + Send;
}

impl<S: Reloadable + Send + Sync> Reloadable for Arc<S> {
    fn state(&self) -> &ServerState {
        S::state(self)
    }

    async fn apply(&self, wanted: &Wanted<'_>) -> Result<Vec<PendingRestart>, RunError> {
        S::apply(self, wanted).await
    }
}

/// Reads certificates and keys again.
#[cfg(feature = "tls")]
pub(super) async fn read_tls(
    loader: &ConfigLoader,
    state: &ServerState,
) -> Result<Option<Arc<crate::tls::Material>>, String> {
    if state.tls.material().is_none() {
        return Ok(None);
    }
    match loader.read_tls(state.effective().settings.tls.clone()).await {
        Ok(Ok(material)) => Ok(material.map(Arc::new)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
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
            Some(loader) => drop(reload(loader, server).await),
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

/// Loads the configuration again and applies what can change in a running server. Logs what comes of it.
/// Returns the changes that need a restart.
///
/// # Errors
/// With one sentence for each mistake. The server keeps its settings.
pub(crate) async fn reload(
    loader: &ConfigLoader,
    server: &impl Reloadable,
) -> Result<Vec<PendingRestart>, Vec<String>> {
    let reloaded = load_and_apply(loader, server).await;
    match &reloaded {
        Ok(pending) => {
            for difference in pending {
                tracing::warn!("{difference}");
            }
            let layers = server.state().layers();
            let set: Vec<_> = layers.set.keys().collect();
            tracing::info!(
                needing_restart = pending.len(),
                set_at_run_time =
                    (!set.is_empty()).then(|| tracing::field::display(set.join(", "))),
                "configuration reloaded"
            );
        }
        Err(why) => {
            for why in why {
                tracing::error!("configuration not reloaded: {why}");
            }
        }
    }
    reloaded
}

async fn load_and_apply(
    loader: &ConfigLoader,
    server: &impl Reloadable,
) -> Result<Vec<PendingRestart>, Vec<String>> {
    let state = server.state();
    let not_loaded = |why| {
        state.reloads.count_load(false);
        Err(why)
    };
    let wanted = match loader.load().await {
        Ok(Ok(wanted)) => wanted,
        Ok(Err(errors)) => return not_loaded(errors.iter().map(ToString::to_string).collect()),
        Err(error) => return not_loaded(vec![error.to_string()]),
    };
    #[cfg(feature = "tls")]
    let wanted_now = match read_tls(loader, state).await {
        Ok(material) => Wanted::Read(&wanted, material),
        Err(why) => {
            state.tls.count(false);
            return not_loaded(vec![why]);
        }
    };
    #[cfg(not(feature = "tls"))]
    let wanted_now = Wanted::Loaded(&wanted);
    let applied = server.apply(&wanted_now).await;
    let pending = applied.map_err(|error| vec![error.to_string()])?;
    loader.applied(&state.effective().settings);
    Ok(pending)
}
