//! Where a server is in its life, and what moves it on: signals, reloads, the drain.

pub mod activation;
mod announce;
pub mod control;
pub mod drain;
pub mod notify;
pub mod reload;
mod running;
pub mod signals;
mod state;

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

pub(crate) use self::running::{in_runtime, refuse_in_runtime};
pub use self::{
    announce::{announcement, log_start},
    control::Control,
    running::Running,
    state::{ConfigChange, ServerState},
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

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Starting,
    Accepting,
    Draining,
}

/// The stage, readable from every thread.
#[derive(Debug)]
pub struct Lifecycle(AtomicU8);

impl Lifecycle {
    pub const fn new() -> Self {
        Self(AtomicU8::new(Stage::Starting as u8))
    }

    pub fn set(&self, stage: Stage) {
        self.0.store(stage as u8, SeqCst);
    }

    pub fn is(&self, stage: Stage) -> bool {
        self.0.load(SeqCst) == stage as u8
    }
}
