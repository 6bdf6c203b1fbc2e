//! Settings and states that are exported beside the counts.

use std::sync::Arc;

use towline_config::Effective;

use super::WriteWaitCause;

/// What is exported of a server beside its counts and gauges.
#[derive(Debug, Clone)]
pub struct Status {
    /// The settings in force.
    pub effective: Arc<Effective>,
    /// Whether the last reload was applied. `true` before the first one.
    pub last_reload_ok: bool,
    /// Most open connections.
    pub connections_limit: u64,
    /// Whether the server drains.
    pub draining: bool,
    /// Time in which replies waited, by cause, in nanoseconds, indexed by [`WriteWaitCause`].
    pub write_wait_nanos: [u64; WriteWaitCause::ALL.len()],
    /// Certificates, if there is TLS.
    pub tls: Option<TlsStatus>,
    /// Connections by listener.
    pub listeners: Vec<ListenerConnections>,
}

/// Certificates and how they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsStatus {
    /// The end of the validity of each certificate, in seconds since 1970, in the order of `tls.cert`.
    pub expiries: Vec<i64>,
    /// How often certificates were taken over since the start, and how often not.
    pub reloads: [u64; 2],
    /// Whether the last time they were.
    pub last_reload_ok: bool,
}

/// Connections that came by one listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerConnections {
    /// The value of the label `listener`.
    pub label: String,
    /// Those that were admitted.
    pub accepted: u64,
    /// Those that were rejected.
    pub rejected: u64,
}
