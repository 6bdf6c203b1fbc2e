//! The polite peers: how they fare tells what an attack does to the others.

use std::{net::SocketAddr, path::Path, process::Command, time::Duration};

use serde::Deserialize;

use crate::Error;

/// Polite connections, and the lines they send a second in all.
pub(crate) const CONNECTIONS: u32 = 1000;
pub(crate) const LINES_PER_SECOND: u32 = 5000;

/// What the load generator says of them.
#[derive(Debug, Clone, Copy, Deserialize)]
pub(crate) struct Polite {
    latency_us: Latency,
    rates: Rates,
    verify: Verify,
    errors: Errors,
    connections: Connections,
    spread: Spread,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Rates {
    lines_per_second: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Verify {
    mismatched: u64,
    missing: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Errors {
    connect: u64,
    reset: u64,
    timeout: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Connections {
    failed: u64,
    closed_early: u64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct Spread {
    jain: f64,
}

impl Polite {
    /// Lets them talk for `time` and hears how it went.
    pub(crate) fn talk(towline: &Path, addr: SocketAddr, time: Duration) -> Result<Self, Error> {
        let output = Command::new(towline)
            .args(["load", &addr.to_string(), "--mode", "paced", "--verify", "--quiet"])
            .args(["-c", &CONNECTIONS.to_string(), "--rate", &LINES_PER_SECOND.to_string()])
            .args(["-T", &format!("{}ms", time.as_millis()), "--json", "-"])
            .args(["--processes", "1", "--threads", "1"])
            .output()?;
        serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("the polite peers gave no report ({error}): {}", said.trim()).into()
        })
    }

    pub(crate) const fn p50_ms(&self) -> f64 {
        self.latency_us.p50 / 1e3
    }

    pub(crate) const fn p99_ms(&self) -> f64 {
        self.latency_us.p99 / 1e3
    }

    pub(crate) const fn jain(&self) -> f64 {
        self.spread.jain
    }

    /// Lines that came back, as a share of what should have.
    pub(crate) fn share(&self) -> f64 {
        self.rates.lines_per_second / f64::from(LINES_PER_SECOND)
    }

    /// Whatever they did not deserve.
    pub(crate) const fn harm(&self) -> u64 {
        let Self { verify, errors, connections, .. } = self;
        verify.mismatched
            + verify.missing
            + errors.connect
            + errors.reset
            + errors.timeout
            + connections.failed
            + connections.closed_early
    }
}
