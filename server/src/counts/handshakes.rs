//! TLS handshakes of a process.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use towline_middleware::{
    internal::Writers,
    stats::{COARSE, Histogram},
};

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeResult {
    /// The client may send lines.
    Ok,
    /// As `Ok`, with a ticket of an earlier session.
    Resumed,
    /// It failed, or the client ended it.
    Failed,
    /// It took longer than `timeouts.handshake`.
    Timeout,
}

impl HandshakeResult {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Ok, Self::Resumed, Self::Failed, Self::Timeout];

    /// The values of the labels `result` and `resumed`.
    #[cfg(feature = "admin")]
    pub(crate) const fn labels(self) -> [&'static str; 2] {
        match self {
            Self::Ok => ["ok", "false"],
            Self::Resumed => ["ok", "true"],
            Self::Failed => ["failed", "false"],
            Self::Timeout => ["timeout", "false"],
        }
    }
}

/// Counts of handshakes, written by any thread.
#[derive(Debug)]
pub(crate) struct Handshakes {
    results: [AtomicU64; HandshakeResult::ALL.len()],
    duration: Histogram,
}

impl Default for Handshakes {
    fn default() -> Self {
        let duration = Histogram::new(&COARSE, Writers::Many);
        Self { results: Default::default(), duration }
    }
}

impl Handshakes {
    /// Counts one that took this long.
    pub(crate) fn add(&self, result: HandshakeResult, took: Duration) {
        self.results[result as usize].fetch_add(1, Relaxed);
        if matches!(result, HandshakeResult::Ok | HandshakeResult::Resumed) {
            self.duration.record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        }
    }

    /// The counts by result, and how long those took that did not fail.
    #[cfg(feature = "admin")]
    pub(crate) fn read(
        &self,
    ) -> ([u64; HandshakeResult::ALL.len()], towline_middleware::stats::HistogramSnapshot) {
        (self.results.each_ref().map(|count| count.load(Relaxed)), self.duration.snapshot())
    }
}
