//! Applying new settings to a running server of one process.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use towline_config::{Effective, PendingRestart, Settings};

use super::{ServerState, Wanted, reload::Reloadable};
use crate::{RunError, shard::PoolState};

/// Counts of reloads, and the lock that makes them one at a time.
#[derive(Debug)]
pub struct ReloadStats {
    /// Reloads that were applied.
    pub ok: AtomicU64,
    /// Reloads that failed and changed nothing.
    pub error: AtomicU64,
    /// Whether the last reload was applied. Default: true.
    pub last_ok: AtomicBool,
    applying: Mutex<()>,
}

impl Default for ReloadStats {
    fn default() -> Self {
        let (ok, error) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { ok, error, last_ok: AtomicBool::new(true), applying: Mutex::default() }
    }
}

impl ReloadStats {
    /// Excludes other reloads while held.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a reload. A setting that is set at run time is none.
    pub fn count(&self, wanted: &Wanted<'_>, ok: bool) {
        #[cfg(feature = "tls")]
        let loaded = matches!(wanted, Wanted::Loaded(_) | Wanted::Read(..));
        #[cfg(not(feature = "tls"))]
        let loaded = matches!(wanted, Wanted::Loaded(_));
        if loaded {
            self.count_load(ok);
        }
    }

    /// Counts a configuration that was, or was not, loaded.
    pub(super) fn count_load(&self, ok: bool) {
        let counter = if ok { &self.ok } else { &self.error };
        counter.fetch_add(1, Relaxed);
        self.last_ok.store(ok, Relaxed);
    }
}

/// Changes the settings of a running server; usable from any thread, and cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    state: Arc<ServerState>,
    pool: Arc<PoolState>,
}

impl Control {
    pub(crate) const fn new(state: Arc<ServerState>, pool: Arc<PoolState>) -> Self {
        Self { state, pool }
    }

    /// Applies the settings that can change while the server runs, to open connections too. Returns the
    /// differences that take effect only after a restart.
    ///
    /// What an operator set over the admin socket stays in force until it is withdrawn there.
    ///
    /// Batches in service finish under the settings they started with. Each shard applies all changes
    /// at once, when its thread next polls its event loop.
    ///
    /// # Errors
    /// When the host or the protocol does not allow what the settings ask. Nothing has changed then.
    pub fn reload(&self, settings: Settings) -> Result<Vec<PendingRestart>, RunError> {
        self.apply_now(&Wanted::Loaded(&programmatic(settings)))
    }

    fn apply_now(&self, wanted: &Wanted<'_>) -> Result<Vec<PendingRestart>, RunError> {
        let ServerState { reloads, slots, .. } = &*self.state;
        let _lock = reloads.lock();
        // Everything that can fail comes before the first change.
        let change =
            self.state.plan_change(wanted).inspect_err(|_| reloads.count(wanted, false))?;
        self.state.record(&change);
        slots.set_limit(change.connections);
        #[cfg(feature = "tls")]
        self.pool.apply_tls(change.tls);
        self.pool.apply(change.effective);
        reloads.count(wanted, true);
        Ok(change.pending)
    }

    /// The settings in force.
    pub fn settings(&self) -> Settings {
        self.state.effective().settings.clone()
    }
}

impl Reloadable for Control {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn apply(&self, wanted: &Wanted<'_>) -> Result<Vec<PendingRestart>, RunError> {
        self.apply_now(wanted)
    }
}

/// Settings made by a program, with that as the origin of each.
pub fn programmatic(settings: Settings) -> Effective {
    Effective::new(settings, "program")
}
