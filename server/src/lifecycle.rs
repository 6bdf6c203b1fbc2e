//! Where a server is in its life, and how it ends.

use std::sync::atomic::{AtomicU8, Ordering::SeqCst};

/// How a run ended, when it ended in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Every connection was finished.
    Clean,
    /// The drain deadline, or a second signal, cut this many connections.
    Cut(u64),
}

impl Outcome {
    /// Says it in the log.
    pub(crate) fn log(self) {
        match self {
            Self::Clean => tracing::info!("drained"),
            Self::Cut(connections) => tracing::warn!(connections, "connections cut"),
        }
    }
}

/// Where a server is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Stage {
    Starting,
    Accepting,
    Draining,
}

/// The stage, readable from every thread.
#[derive(Debug)]
pub(crate) struct Life(AtomicU8);

impl Life {
    pub(crate) const fn new() -> Self {
        Self(AtomicU8::new(Stage::Starting as u8))
    }

    pub(crate) fn set(&self, stage: Stage) {
        self.0.store(stage as u8, SeqCst);
    }

    pub(crate) fn is(&self, stage: Stage) -> bool {
        self.0.load(SeqCst) == stage as u8
    }
}
