//! The figures of TLS.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::Latency;
use crate::plan::Plan;
use crate::tls::TlsTotals;

/// The figures of connections over TLS, bad clients included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TlsReport {
    /// From the established connection to the end of the handshake, on the client's side. The work of the
    /// generator itself is in it.
    pub handshake_us: Latency,
    /// Handshakes in which the server showed a certificate.
    pub full: u64,
    /// Handshakes that resumed an earlier session.
    pub resumed: u64,
    /// Handshakes that failed.
    pub failed: u64,
    /// Handshakes by cipher suite.
    pub suites: BTreeMap<String, u64>,
    /// Errors by what failed: those of handshakes, and those by which the server ended a session. A server
    /// with TLS 1.3 refuses a client certificate only behind the handshake.
    pub errors: BTreeMap<String, u64>,
    /// How the server ended connections.
    pub ends: TlsEnds,
}

/// How the server ended connections over TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsEnds {
    /// With a `close_notify`: nothing that it sent is missing.
    pub close_notify: u64,
    /// Without one: whether it sent more is not known.
    pub no_close_notify: u64,
}

impl TlsReport {
    /// The figures of a run; `None` if it was not over TLS.
    pub(super) fn of(plan: &Plan, totals: &TlsTotals) -> Option<Self> {
        plan.tls.as_ref()?;
        Some(Self {
            handshake_us: Latency::of(&totals.handshake),
            full: totals.full,
            resumed: totals.resumed,
            failed: totals.failed,
            suites: totals.suites.clone(),
            errors: totals.errors.clone(),
            ends: TlsEnds {
                close_notify: totals.close_notify,
                no_close_notify: totals.no_close_notify,
            },
        })
    }

    /// Adds the figures of another host, but for the distribution.
    pub(super) fn add(&mut self, other: &Self) {
        self.full += other.full;
        self.resumed += other.resumed;
        self.failed += other.failed;
        self.ends.close_notify += other.ends.close_notify;
        self.ends.no_close_notify += other.ends.no_close_notify;
        for (mine, theirs) in [(&mut self.suites, &other.suites), (&mut self.errors, &other.errors)]
        {
            for (text, count) in theirs {
                *mine.entry(text.clone()).or_default() += count;
            }
        }
    }

    /// The count of a name that assertions have.
    pub(super) fn count(&self, name: &str) -> u64 {
        match name {
            "handshakes_full" => self.full,
            "handshakes_resumed" => self.resumed,
            "handshakes_failed" => self.failed,
            _ => self.errors.values().sum(),
        }
    }

    /// The errors in one sentence, the most frequent first; empty without one.
    pub(super) fn errors_text(&self) -> String {
        let mut errors: Vec<_> = self.errors.iter().collect();
        errors.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut text = String::new();
        for (what, count) in errors {
            let between = if text.is_empty() { "" } else { "; " };
            // Writing to a string does not fail.
            let _ = write!(text, "{between}{what} ({count} times)");
        }
        text
    }
}
