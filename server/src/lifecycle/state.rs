//! The side of a server that faces outward, however many processes serve behind it.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use tokio::sync::watch;
use towline_config::{Effective, PendingRestart};
use towline_host::HostLimits;

use super::{Lifecycle, Stage, control::ReloadStats};
use crate::{
    RunError,
    accept::{AcceptStats, Address, ConnectionSlots},
    counts::{Snapshot, Status},
    live_config::LiveConfig,
    plan::ProcessPlan,
};

/// What is known at the door: who comes in, and what the whole is told to do.
#[derive(Debug)]
pub struct ServerState {
    pub plan: ProcessPlan,
    pub config: Arc<watch::Sender<LiveConfig>>,
    pub reloads: ReloadStats,
    pub lifecycle: Lifecycle,
    /// All places of the server.
    pub slots: Arc<ConnectionSlots>,
    pub accept: Arc<AcceptStats>,
    /// The TCP port lines are served on, to find its accept queue.
    pub port: Option<u16>,
}

/// What comes of new settings for a server that runs.
#[derive(Debug)]
pub struct ConfigChange {
    pub effective: Effective,
    /// The most connections then.
    pub connections: usize,
    /// What takes effect only when the server starts again.
    pub kept: Vec<PendingRestart>,
}

impl ServerState {
    pub fn new(
        plan: ProcessPlan,
        config: Arc<watch::Sender<LiveConfig>>,
        address: &Address,
        slots: Arc<ConnectionSlots>,
    ) -> Self {
        let port = match address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        };
        let (reloads, lifecycle, accept) =
            (ReloadStats::default(), Lifecycle::new(), Arc::default());
        Self { plan, config, reloads, lifecycle, slots, accept, port }
    }

    /// What it runs with.
    pub fn effective(&self) -> Arc<Effective> {
        self.config.borrow().effective.clone()
    }

    /// What is to change when `wanted` is loaded. Nothing has changed then.
    ///
    /// # Errors
    /// When the host does not allow what is asked.
    pub fn change(&self, wanted: &Effective) -> Result<ConfigChange, RunError> {
        let running = self.effective();
        let (effective, kept) = running.reload(wanted);
        let (old, new) = (&running.settings.limits, &effective.settings.limits);
        // What `auto` found at start stays: with connections open it would find less.
        let connections = if new.connections == old.connections {
            self.slots.limit()
        } else {
            let open = self.slots.connections();
            self.plan.connections_of(&effective.settings, HostLimits::read(), open)?
        };
        Ok(ConfigChange { effective, connections, kept })
    }

    /// What is published beside the numbers.
    pub fn status(&self) -> Status {
        Status {
            effective: self.effective(),
            last_reload_ok: self.reloads.last_ok.load(Relaxed),
            connections_limit: self.slots.limit() as u64,
            draining: self.lifecycle.is(Stage::Draining),
        }
    }

    /// Adds what was counted here.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        self.accept.add_to(snapshot);
        let counted = &mut snapshot.counted;
        counted.reloads_ok += self.reloads.ok.load(Relaxed);
        counted.reloads_failed += self.reloads.error.load(Relaxed);
    }
}
