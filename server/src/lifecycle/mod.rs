//! Where a server is in its life, and what moves it on: signals, reloads, the drain.

pub mod activation;
pub mod control;
pub mod drain;
pub mod notify;
pub mod reload;
pub mod signals;
mod state;

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

pub use self::{
    control::Control,
    state::{ConfigChange, ServerState},
};

/// How a run ended, when it ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every connection was finished.
    Clean,
    /// The drain deadline, or a second signal, cut this many connections.
    Cut(u64),
}

impl Outcome {
    /// The outcome of a drain that cut `connections`.
    pub const fn of(connections: u64) -> Self {
        if connections == 0 { Self::Clean } else { Self::Cut(connections) }
    }

    /// Says it in the log.
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
