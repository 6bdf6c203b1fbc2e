//! Changes to a server that runs: loading is somebody else's, applying is here.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use towline_config::{Difference, Effective, Key, Settings};

use crate::{RunError, host, shared::Shared};

/// What came of attempts to load new settings.
#[derive(Debug)]
pub(crate) struct Reloads {
    pub(crate) ok: AtomicU64,
    pub(crate) error: AtomicU64,
    /// Whether what runs is what was asked for last.
    pub(crate) last_ok: AtomicBool,
    /// One at a time.
    applying: Mutex<()>,
}

impl Default for Reloads {
    fn default() -> Self {
        let (ok, error) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { ok, error, last_ok: AtomicBool::new(true), applying: Mutex::default() }
    }
}

impl Reloads {
    /// Counts an attempt.
    pub(crate) fn count(&self, ok: bool) {
        let counter = if ok { &self.ok } else { &self.error };
        counter.fetch_add(1, Relaxed);
        self.last_ok.store(ok, Relaxed);
    }
}

/// Changes one server while it runs; usable from any thread, and cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
}

impl Control {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes over from `settings` what can change while the server runs, for open connections too,
    /// and returns what takes effect only when it starts again.
    ///
    /// Lines in flight finish under the settings they began with. Each shard takes all of it over
    /// at once, as soon as its thread comes round to it.
    ///
    /// # Errors
    /// When the host does not allow what is asked. Nothing has changed then.
    pub fn reload(&self, settings: Settings) -> Result<Vec<Difference>, RunError> {
        self.load(&of_a_program(settings))
    }

    /// As [`reload`](Self::reload), for settings that know where they come from.
    pub(crate) fn load(&self, wanted: &Effective) -> Result<Vec<Difference>, RunError> {
        let Shared { now, slots, permits, runtimes, reloads, buffer_limit_bytes, .. } =
            &*self.shared;
        let _alone = reloads.applying.lock().unwrap_or_else(PoisonError::into_inner);
        let running = now.borrow().effective.clone();
        let (effective, kept) = running.reload(wanted);
        let (old, new) = (&running.settings.limits, &effective.settings.limits);
        // All that can fail comes before all that changes. What `auto` found at start stays: with
        // connections open it would find less.
        let connections = if new.connections == old.connections {
            Ok(slots.limit())
        } else {
            let asked = new.connections.map(Into::into);
            host::connection_limit(asked, slots.shards(), slots.connections())
        };
        let connections = connections.inspect_err(|_| reloads.count(false))?;
        slots.set_limit(connections);
        if new.buffer_bytes != old.buffer_bytes {
            buffer_limit_bytes.store(host::buffer_limit(new.buffer_bytes), Relaxed);
        }
        if let Some(runtime) = runtimes.first() {
            permits.set_limit(new.concurrency.get() as usize, runtime);
        }
        now.send_modify(|now| now.effective = Arc::new(effective));
        reloads.count(true);
        Ok(kept)
    }

    /// What the server runs with.
    pub fn settings(&self) -> Settings {
        self.shared.now.borrow().effective.settings.clone()
    }

    /// Notes that new settings could not even be loaded.
    pub(crate) fn not_loaded(&self) {
        self.shared.reloads.count(false);
    }
}

/// Settings that a program made, and no file.
pub(crate) fn of_a_program(settings: Settings) -> Effective {
    let origins = Key::all().iter().map(|key| (key.name, "program".to_owned()));
    Effective { settings, origins: origins.collect() }
}
