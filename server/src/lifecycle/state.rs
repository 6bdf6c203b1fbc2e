//! The state of a whole server, whether it is one process or several.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::watch;
use towline_config::{Effective, PendingRestart};
use towline_host::HostLimits;

use super::{Lifecycle, control::ReloadStats};
use crate::{
    RunError,
    accept::{AcceptStats, Address, ConnectionSlots},
    counts::Snapshot,
    live_config::LiveConfig,
    plan::{ProcessPlan, ProtocolRules},
};

/// The state of a server outside its shards or workers: configuration, admission, lifecycle.
#[derive(Debug)]
pub struct ServerState {
    /// Processes, threads and connections, as decided at start.
    pub plan: ProcessPlan,
    /// What reloads may ask for. Default: those of lines.
    pub(crate) protocol: ProtocolRules,
    /// The configuration in force.
    pub config: Arc<watch::Sender<LiveConfig>>,
    /// Counts of reloads.
    pub reloads: ReloadStats,
    /// Starting, accepting or draining.
    pub lifecycle: Lifecycle,
    /// Whether the server is at `limits.connections`, as `overload/full.rs` found.
    full: AtomicBool,
    /// The connection slots of the whole server.
    pub slots: Arc<ConnectionSlots>,
    /// The acceptor's counts.
    pub accept: Arc<AcceptStats>,
    /// The TCP port that lines are served on; identifies the accept queue in the kernel's tables.
    pub port: Option<u16>,
    /// The address that lines are served on.
    pub address: Address,
    /// Why replies wait.
    #[cfg(feature = "admin")]
    pub(crate) write_waits: crate::connections::WriteWaits,
}

/// What a reload changes in a running server.
#[derive(Debug)]
pub struct ConfigChange {
    /// The settings to apply.
    pub effective: Effective,
    /// The limit of connections under these settings.
    pub connections: usize,
    /// The differences that take effect only after a restart.
    pub pending: Vec<PendingRestart>,
}

impl ServerState {
    /// The state of a server that starts and listens on `address`.
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
        let full = AtomicBool::new(false);
        let protocol = ProtocolRules::LINES;
        Self {
            plan,
            protocol,
            config,
            reloads,
            lifecycle,
            full,
            slots,
            accept,
            port,
            address: address.clone(),
            #[cfg(feature = "admin")]
            write_waits: crate::connections::WriteWaits::default(),
        }
    }

    /// Whether the server is at `limits.connections`. With hysteresis, so that it does not flap.
    pub fn is_full(&self) -> bool {
        self.full.load(Relaxed)
    }

    /// Notes whether the server is at `limits.connections`.
    pub fn set_full(&self, full: bool) {
        self.full.store(full, Relaxed);
    }

    /// The settings in force, with their origins.
    pub fn effective(&self) -> Arc<Effective> {
        self.config.borrow().effective.clone()
    }

    /// Computes what a reload with `wanted` changes, and changes nothing yet.
    ///
    /// # Errors
    /// When the host or the protocol does not allow what the settings ask.
    pub fn plan_change(&self, wanted: &Effective) -> Result<ConfigChange, RunError> {
        let running = self.effective();
        let (effective, pending) = running.reload(wanted);
        self.protocol.check(&effective.settings)?;
        let (old, new) = (&running.settings.limits, &effective.settings.limits);
        // An unchanged limit keeps what `auto` found at start: with open connections it would find less.
        let connections = if new.connections == old.connections {
            self.slots.limit()
        } else {
            let open = self.slots.connections();
            self.plan.connections_of(&effective.settings, HostLimits::read(), open)?
        };
        Ok(ConfigChange { effective, connections, pending })
    }

    /// The facts that the admin endpoint shows beside the counts.
    #[cfg(feature = "admin")]
    pub fn status(&self) -> crate::counts::Status {
        crate::counts::Status {
            effective: self.effective(),
            last_reload_ok: self.reloads.last_ok.load(Relaxed),
            connections_limit: self.slots.limit() as u64,
            draining: self.lifecycle.is(super::Stage::Draining),
            write_wait_nanos: self.write_waits.nanos(),
        }
    }

    /// Adds the counts of accepts and reloads to `snapshot`.
    pub fn add_to(&self, snapshot: &mut Snapshot) {
        self.accept.add_to(snapshot);
        let counted = &mut snapshot.counted;
        counted.reloads_ok += self.reloads.ok.load(Relaxed);
        counted.reloads_failed += self.reloads.error.load(Relaxed);
    }
}
