//! What TLS counted and measured.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::histogram::Hist;

/// Texts of errors that are counted apart; errors with further texts count as `other`.
const TEXTS_MAX: usize = 16;

/// The counts of an event loop, and their sums.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct TlsTotals {
    /// Nanoseconds from the established connection to the end of the handshake.
    pub(crate) handshake: Hist,
    /// Handshakes with a certificate.
    pub(crate) full: u64,
    /// Handshakes that resumed a session.
    pub(crate) resumed: u64,
    /// Handshakes that failed.
    pub(crate) failed: u64,
    /// Connections by cipher suite.
    pub(crate) suites: BTreeMap<String, u64>,
    /// Errors of handshakes and of sessions, by what failed.
    pub(crate) errors: BTreeMap<String, u64>,
    /// Connections that the server ended with a `close_notify`.
    pub(crate) close_notify: u64,
    /// Connections that the server ended without one.
    pub(crate) no_close_notify: u64,
}

impl TlsTotals {
    /// Counts an error.
    pub(crate) fn error(&mut self, text: String) {
        add_bounded(&mut self.errors, text, 1);
    }

    /// Adds the counts of another event loop.
    pub(crate) fn add(&mut self, other: &Self) {
        self.handshake.add(&other.handshake);
        self.full += other.full;
        self.resumed += other.resumed;
        self.failed += other.failed;
        self.close_notify += other.close_notify;
        self.no_close_notify += other.no_close_notify;
        for (suite, count) in &other.suites {
            *self.suites.entry(suite.clone()).or_default() += count;
        }
        for (text, count) in &other.errors {
            add_bounded(&mut self.errors, text.clone(), *count);
        }
    }
}

/// Adds to the count of a text, which is `other` once there are too many.
fn add_bounded(counts: &mut BTreeMap<String, u64>, text: String, count: u64) {
    let known = counts.len() < TEXTS_MAX || counts.contains_key(&text);
    *counts.entry(if known { text } else { "other".to_owned() }).or_default() += count;
}
