//! Changes to a server that runs: loading is somebody else's, applying is here.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use towline_config::{Effective, PendingRestart, Settings};

use super::{ServerState, reload::Reloadable};
use crate::{RunError, shard::PoolState};

/// What came of attempts to load new settings.
#[derive(Debug)]
pub struct ReloadStats {
    pub ok: AtomicU64,
    pub error: AtomicU64,
    /// Whether what runs is what was asked for last.
    pub last_ok: AtomicBool,
    /// One at a time.
    applying: Mutex<()>,
}

impl Default for ReloadStats {
    fn default() -> Self {
        let (ok, error) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { ok, error, last_ok: AtomicBool::new(true), applying: Mutex::default() }
    }
}

impl ReloadStats {
    /// While this is held nobody else changes anything.
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.applying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an attempt.
    pub fn count(&self, ok: bool) {
        let counter = if ok { &self.ok } else { &self.error };
        counter.fetch_add(1, Relaxed);
        self.last_ok.store(ok, Relaxed);
    }
}

/// Changes one server while it runs; usable from any thread, and cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    state: Arc<ServerState>,
    shared: Arc<PoolState>,
}

impl Control {
    pub const fn new(state: Arc<ServerState>, shared: Arc<PoolState>) -> Self {
        Self { state, shared }
    }

    /// Takes over from `settings` what can change while the server runs, for open connections too,
    /// and returns what takes effect only when it starts again.
    ///
    /// Lines in flight finish under the settings they began with. Each shard takes all of it over
    /// at once, as soon as its thread comes round to it.
    ///
    /// # Errors
    /// When the host does not allow what is asked. Nothing has changed then.
    pub fn reload(&self, settings: Settings) -> Result<Vec<PendingRestart>, RunError> {
        self.apply(&programmatic(settings))
    }

    fn apply(&self, wanted: &Effective) -> Result<Vec<PendingRestart>, RunError> {
        let ServerState { reloads, slots, .. } = &*self.state;
        let _lock = reloads.lock();
        // All that can fail comes before all that changes.
        let change = self.state.change(wanted).inspect_err(|_| reloads.count(false))?;
        slots.set_limit(change.connections);
        self.shared.apply(change.effective);
        reloads.count(true);
        Ok(change.kept)
    }

    /// What the server runs with.
    pub fn settings(&self) -> Settings {
        self.state.effective().settings.clone()
    }
}

impl Reloadable for Control {
    fn state(&self) -> &ServerState {
        &self.state
    }

    async fn load(&self, wanted: &Effective) -> Result<Vec<PendingRestart>, RunError> {
        self.apply(wanted)
    }
}

/// Settings that a program made, and no file.
pub fn programmatic(settings: Settings) -> Effective {
    Effective::new(settings, "program")
}
