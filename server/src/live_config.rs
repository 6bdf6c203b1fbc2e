//! The configuration in force: settings, and mitigation of overload.

use std::sync::Arc;

use towline_config::Effective;
use towline_host::buffer_limit;

use crate::{RunError, counts::STEPS, hooks::Hooks};

/// The configuration in force. A thread applies a change as a whole, between two polls of its tasks.
#[derive(Debug, Clone)]
pub struct LiveConfig {
    /// The settings, with their origins.
    pub effective: Arc<Effective>,
    /// What is done against a shortage of memory or slots.
    pub mitigation: Mitigation,
    /// Limit of the buffers of all connections of the process, in bytes.
    pub buffer_limit_bytes: u64,
    /// What TLS handshakes are made with; `None` without TLS.
    #[cfg(feature = "tls")]
    pub tls: Option<crate::tls::TlsChange>,
    /// Connections begin in the clear; their sessions start TLS.
    #[cfg(feature = "tls")]
    pub(crate) starts_tls_later: bool,
}

impl LiveConfig {
    /// The configuration at start.
    pub fn first(effective: Effective) -> Self {
        let buffer_limit_bytes = buffer_limit(effective.settings.limits.buffer_bytes);
        Self {
            effective: Arc::new(effective),
            mitigation: Mitigation::NONE,
            buffer_limit_bytes,
            #[cfg(feature = "tls")]
            tls: None,
            #[cfg(feature = "tls")]
            starts_tls_later: false,
        }
    }

    /// As [`first`](Self::first), with the TLS of the settings or of the program.
    ///
    /// # Errors
    /// With what is wrong with which file, and where TLS is asked for and not built in.
    pub(crate) fn with_tls(effective: Effective, hooks: &Hooks) -> Result<Self, RunError> {
        #[cfg(feature = "tls")]
        {
            let mut config = Self::first(effective);
            let settings = &config.effective.settings.tls;
            let loaded = crate::tls::TlsChange::load(hooks.tls.as_ref(), settings)?;
            config.tls = loaded;
            config.starts_tls_later = hooks.starts_tls_later;
            Ok(config)
        }
        #[cfg(not(feature = "tls"))]
        {
            let _ = hooks;
            if effective.settings.tls.cert.is_empty() {
                return Ok(Self::first(effective));
            }
            Err(RunError::usage("tls.cert is refused: TLS is not built into this program"))
        }
    }

    /// Bytes that the connections of one of `shards` shards may buffer before those that hold the most are
    /// closed: nine tenths of the shard's equal part, below the pressure at which lines are shed.
    pub fn eviction_bytes(&self, shards: usize) -> usize {
        let bytes = self.buffer_limit_bytes / shards.max(1) as u64 / 10 * 9;
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// Replaces the settings by others that were validated for this host.
    pub fn apply(&mut self, effective: Effective) {
        let asked = effective.settings.limits.buffer_bytes;
        // An unchanged limit keeps what `auto` found at start: with open connections it would find less.
        if asked != self.effective.settings.limits.buffer_bytes {
            self.buffer_limit_bytes = buffer_limit(asked);
        }
        self.effective = Arc::new(effective);
    }
}

/// Mitigation of overload: what the server does less of while something is short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mitigation {
    /// Tenths of `timeouts.idle` in force.
    pub idle_tenths: u32,
    /// Tenths of `timeouts.line` and `timeouts.write` in force, which bound how long buffers are held.
    pub held_tenths: u32,
    /// Whether new batches are answered `ERR overloaded`.
    pub sheds: bool,
    /// Whether new connections wait in the kernel's queue, or are rejected.
    pub refuses: bool,
}

impl Mitigation {
    /// No mitigation.
    pub const NONE: Self =
        Self { idle_tenths: TENTHS, held_tenths: TENTHS, sheds: false, refuses: false };

    /// Which steps are active, in the order of [`STEPS`].
    pub const fn steps(&self) -> [bool; STEPS.len()] {
        let shrinks = self.idle_tenths < TENTHS || self.held_tenths < TENTHS;
        [shrinks, self.sheds, self.refuses]
    }
}

/// Parts into which a timeout is divided when it is shortened.
pub(crate) const TENTHS: u32 = 10;
