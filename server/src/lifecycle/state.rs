//! The state of a whole server, whether it is one process or several.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use tokio::sync::watch;
use towline_config::{Effective, Errors, PendingRestart, RunTimeSettings};
use towline_host::HostLimits;

use super::{Lifecycle, control::ReloadStats, remote::RemoteControl};
use crate::{
    RunError,
    accept::{AcceptStats, Address, ConnectionSlots, Listener, addresses},
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
    /// What the configuration is made of.
    layers: Mutex<ConfigLayers>,
    /// Counts of reloads.
    pub reloads: ReloadStats,
    /// What commands of the admin endpoint act on.
    pub remote: RemoteControl,
    /// Certificates and keys.
    #[cfg(feature = "tls")]
    pub(crate) tls: crate::tls::TlsSource,
    /// Starting, accepting or draining.
    pub lifecycle: Lifecycle,
    /// Whether the server is at `limits.connections`, as `overload/full.rs` found.
    full: AtomicBool,
    /// The connection slots of the whole server.
    pub slots: Arc<ConnectionSlots>,
    /// The acceptor's counts.
    pub accept: Arc<AcceptStats>,
    /// The addresses that lines are served on.
    pub addresses: Vec<Address>,
    /// Why replies wait.
    #[cfg(feature = "admin")]
    pub(crate) write_waits: crate::connections::WriteWaits,
}

/// What the configuration of a running server is made of.
#[derive(Debug, Clone)]
pub(crate) struct ConfigLayers {
    /// As it was loaded last.
    loaded: Effective,
    /// What was set since the start, which overrides that.
    pub(crate) set: RunTimeSettings,
}

/// The configuration that a running server is asked to take over.
#[derive(Debug)]
pub enum Wanted<'a> {
    /// One that was loaded. What was set at run time stays in force.
    Loaded(&'a Effective),
    /// One that was loaded, with the certificates and keys that were read then.
    #[cfg(feature = "tls")]
    Read(&'a Effective, Option<Arc<crate::tls::Material>>),
    /// The one in force, with certificates and keys that were read again.
    #[cfg(feature = "tls")]
    Files(Arc<crate::tls::Material>),
    /// The one that was loaded last, with these keys set to a text, or no longer set, over what was set before.
    Set(&'a [(String, Option<String>)]),
}

#[cfg(feature = "tls")]
impl Wanted<'_> {
    /// The certificates and keys that were read, if they were.
    fn material(&self) -> Option<Arc<crate::tls::Material>> {
        match self {
            Self::Read(_, material) => material.clone(),
            Self::Files(material) => Some(material.clone()),
            Self::Loaded(_) | Self::Set(_) => None,
        }
    }
}

/// What a reload changes in a running server.
#[derive(Debug)]
pub struct ConfigChange {
    /// What the settings are made of.
    pub(crate) layers: ConfigLayers,
    /// The settings to apply.
    pub effective: Effective,
    /// What TLS is made of from now on, if that changes.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::TlsChange>,
    /// The limit of connections under these settings.
    pub connections: usize,
    /// The differences that take effect only after a restart.
    pub pending: Vec<PendingRestart>,
}

impl ServerState {
    /// The state of a server that starts with these listeners.
    pub fn new(
        plan: ProcessPlan,
        config: Arc<watch::Sender<LiveConfig>>,
        listeners: &[Listener],
        slots: Arc<ConnectionSlots>,
    ) -> Self {
        let (reloads, lifecycle) = (ReloadStats::default(), Lifecycle::new());
        let accept = Arc::new(AcceptStats::new(listeners));
        let full = AtomicBool::new(false);
        let protocol = ProtocolRules::LINES;
        let loaded = Effective::clone(&config.borrow().effective);
        let layers = Mutex::new(ConfigLayers { loaded, set: RunTimeSettings::default() });
        let remote = RemoteControl::default();
        #[cfg(feature = "tls")]
        let tls = crate::tls::TlsSource::of(config.borrow().tls.as_ref());
        Self {
            #[cfg(feature = "tls")]
            tls,
            plan,
            protocol,
            config,
            layers,
            reloads,
            remote,
            lifecycle,
            full,
            slots,
            accept,
            addresses: addresses(listeners),
            #[cfg(feature = "admin")]
            write_waits: crate::connections::WriteWaits::default(),
        }
    }

    /// The TCP ports that lines are served on; they identify the accept queues in the kernel's tables.
    pub fn ports(&self) -> Vec<u16> {
        let port = |address: &Address| match address {
            Address::Tcp(address) => Some(address.port()),
            Address::Unix(_) => None,
        };
        let mut ports: Vec<_> = self.addresses.iter().filter_map(port).collect();
        ports.sort_unstable();
        ports.dedup();
        ports
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

    /// What the configuration is made of.
    pub(crate) fn layers(&self) -> ConfigLayers {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records what a change that is applied is made of.
    pub fn record(&self, change: &ConfigChange) {
        // Nothing that can panic runs under this lock.
        *self.layers.lock().unwrap_or_else(PoisonError::into_inner) = change.layers.clone();
        #[cfg(feature = "tls")]
        if let Some(tls) = &change.tls {
            self.tls.set(tls.material.clone());
        }
    }

    /// Computes what a change to `wanted` changes, and changes nothing yet.
    ///
    /// # Errors
    /// When the settings contradict each other, and when the host or the protocol does not allow what they
    /// ask.
    pub fn plan_change(&self, wanted: &Wanted<'_>) -> Result<ConfigChange, RunError> {
        let mut layers = self.layers();
        match wanted {
            Wanted::Loaded(loaded) => layers.loaded = Effective::clone(loaded),
            #[cfg(feature = "tls")]
            Wanted::Read(loaded, _) => layers.loaded = Effective::clone(loaded),
            #[cfg(feature = "tls")]
            Wanted::Files(_) => {}
            Wanted::Set(changes) => {
                for (name, text) in *changes {
                    layers.set.set(name, text.as_deref()).map_err(refused)?;
                }
            }
        }
        #[cfg(feature = "tls")]
        let material = wanted.material();
        let wanted = layers.set.over(&layers.loaded).map_err(refused)?;
        let running = self.effective();
        let (effective, pending) = running.reload(&wanted);
        self.protocol.check(&effective.settings)?;
        #[cfg(feature = "tls")]
        let tls =
            self.tls.change(material.as_ref(), &running.settings.tls, &effective.settings.tls)?;
        let (old, new) = (&running.settings.limits, &effective.settings.limits);
        // An unchanged limit keeps what `auto` found at start: with open connections it would find less.
        let connections = if new.connections == old.connections {
            self.slots.limit()
        } else {
            let open = self.slots.connections();
            self.plan.connections_of(&effective.settings, HostLimits::read(), open)?
        };
        Ok(ConfigChange {
            layers,
            effective,
            connections,
            pending,
            #[cfg(feature = "tls")]
            tls,
        })
    }

    /// The facts that the admin endpoint shows beside the counts.
    #[cfg(feature = "admin")]
    pub fn status(&self) -> crate::counts::Status {
        crate::counts::Status {
            effective: self.effective(),
            last_reload_ok: self.reloads.last_ok.load(Relaxed),
            #[cfg(feature = "tls")]
            tls: self.tls.status(self.config.borrow().tls.as_ref()),
            #[cfg(not(feature = "tls"))]
            tls: None,
            connections_limit: self.slots.limit() as u64,
            draining: self.lifecycle.is(super::Stage::Draining),
            write_wait_nanos: self.write_waits.nanos(),
            listeners: self.accept.by_listener(),
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

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(errors: Errors) -> RunError {
    RunError::usage(errors.to_string())
}
