//! The configuration in force: settings, and what overload makes of them.

use std::sync::Arc;

use towline_config::Effective;
use towline_host::buffer_limit;

use crate::counts::STEPS;

/// What holds now. Each thread takes a change over as a whole, between two of its turns.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    pub effective: Arc<Effective>,
    /// What is done because something is short.
    pub mitigation: Mitigation,
    /// Memory for the buffers of connections, of all shards of the process.
    pub buffer_limit_bytes: u64,
}

impl LiveConfig {
    /// What holds at the start.
    pub fn first(effective: Effective) -> Self {
        let buffer_limit_bytes = buffer_limit(effective.settings.limits.buffer_bytes);
        Self { effective: Arc::new(effective), mitigation: Mitigation::NONE, buffer_limit_bytes }
    }

    /// Puts settings in force that were found to hold here.
    pub fn apply(&mut self, effective: Effective) {
        let asked = effective.settings.limits.buffer_bytes;
        // What `auto` found at start stays: with connections open it would find less.
        if asked != self.effective.settings.limits.buffer_bytes {
            self.buffer_limit_bytes = buffer_limit(asked);
        }
        self.effective = Arc::new(effective);
    }
}

/// What is done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mitigation {
    /// Tenths of `timeouts.idle` that are left.
    pub idle_tenths: u32,
    /// Tenths of the timeouts that bound how long buffers are held: of lines, of writing.
    pub held_tenths: u32,
    /// New batches are answered `ERR overloaded`.
    pub sheds: bool,
    /// Connections wait in the kernel's queue, or are refused.
    pub refuses: bool,
}

impl Mitigation {
    /// Nothing is done.
    pub const NONE: Self =
        Self { idle_tenths: TENTHS, held_tenths: TENTHS, sheds: false, refuses: false };

    /// The steps that are taken, in the order of [`STEPS`].
    pub const fn steps(&self) -> [bool; STEPS.len()] {
        let shrinks = self.idle_tenths < TENTHS || self.held_tenths < TENTHS;
        [shrinks, self.sheds, self.refuses]
    }
}

/// Parts into which a timeout is divided when it is shortened.
pub(crate) const TENTHS: u32 = 10;
