//! The lifecycle of a server: start by a service manager, signals, reloads, drain.
//!
//! | file | holds |
//! |---|---|
//! | `running.rs` | a server that runs, until it is drained |
//! | `state.rs` | the state of a whole server |
//! | `signals.rs`, `reload.rs`, `control.rs` | signals; SIGHUP; applying new settings |
//! | `loader.rs` | the thread that loads them |
//! | `tls_files.rs` | files of certificates, looked at while the server runs |
//! | `remote.rs` | what commands of the admin endpoint act on |
//! | `drain.rs` | the first steps of a drain; the next ones are in `shard/drain.rs` |
//! | `activation.rs`, `notify.rs`, `watchdog.rs` | the service manager: the socket it passes, what it is notified of |

#[cfg(feature = "systemd")]
pub mod activation;
mod announce;
pub mod control;
pub mod drain;
pub mod loader;
#[cfg(feature = "systemd")]
pub mod notify;
pub mod reload;
mod remote;
mod running;
pub mod signals;
mod state;
#[cfg(feature = "tls")]
pub mod tls_files;
#[cfg(feature = "systemd")]
pub mod watchdog;

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

pub(crate) use self::running::{in_runtime, refuse_in_runtime};
pub use self::{
    announce::{announcement, log_start},
    control::Control,
    remote::RemoteControl,
    running::Running,
    state::{ConfigChange, ServerState, Wanted},
};

/// How a drain ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Every connection finished.
    Clean,
    /// The drain deadline, a second signal, or the end of the future that drained cut this many
    /// connections.
    Cut(u64),
}

impl Outcome {
    /// The outcome of a drain that cut `connections`.
    #[doc(hidden)]
    pub const fn of(connections: u64) -> Self {
        if connections == 0 { Self::Clean } else { Self::Cut(connections) }
    }

    /// The number of connections that were cut.
    pub const fn connections_cut(self) -> u64 {
        match self {
            Self::Clean => 0,
            Self::Cut(connections) => connections,
        }
    }

    /// Logs it.
    #[doc(hidden)]
    pub fn log(self) {
        match self {
            Self::Clean => tracing::info!("drained"),
            Self::Cut(connections) => tracing::warn!(connections, "connections cut"),
        }
    }
}

/// The stages of a server's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Connections are not accepted yet.
    Starting,
    /// Connections are accepted.
    Accepting,
    /// The server is ending.
    Draining,
}

/// The current stage, readable from every thread.
#[derive(Debug)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    /// Starts in [`Stage::Starting`].
    pub const fn new() -> Self {
        Self(AtomicU8::new(Stage::Starting as u8))
    }

    /// Enters a stage.
    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, SeqCst);
    }

    /// Whether this is the current stage.
    pub fn is(&self, stage: Stage) -> bool {
        self.0.load(SeqCst) == stage as u8
    }
}
