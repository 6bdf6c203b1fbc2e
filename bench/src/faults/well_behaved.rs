//! The polite peers: how they fare tells what an attack does to the others.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::Deserialize;

use super::priority;
use crate::Error;

/// Polite connections, and the lines they send a second in all.
pub(crate) const CONNECTIONS: u32 = 1000;
pub(crate) const LINES_PER_SECOND: u32 = 5000;

/// How they fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Polite {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// How evenly their lines were served.
    pub(crate) jain: f64,
    /// Lines that came back, as a share of what should have.
    pub(crate) share: f64,
    /// Whatever they did not deserve.
    pub(crate) harm: u64,
}

/// What the load generator says of them.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Report {
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

impl From<Report> for Polite {
    fn from(report: Report) -> Self {
        let Report { latency_us, rates, verify, errors, connections, spread } = report;
        let lines = verify.mismatched + verify.missing;
        let broken = errors.connect + errors.reset + errors.timeout;
        Self {
            p50_ms: latency_us.p50 / 1e3,
            p99_ms: latency_us.p99 / 1e3,
            jain: spread.jain,
            share: rates.lines_per_second / f64::from(LINES_PER_SECOND),
            harm: lines + broken + connections.failed + connections.closed_early,
        }
    }
}

impl Polite {
    /// Lets them talk for `time`, so many times in a row, and hears how it went: the latency of the
    /// middle talk, and the worst of the rest.
    pub(crate) fn talk(
        towline: &Path,
        addr: SocketAddr,
        time: Duration,
        talks: u32,
    ) -> Result<Self, Error> {
        let talks = (0..talks).map(|_| Self::talk_once(towline, addr, time));
        Ok(Self::of(talks.collect::<Result<_, _>>()?))
    }

    fn of(mut talks: Vec<Self>) -> Self {
        talks.sort_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
        let Self { p50_ms, p99_ms, .. } = talks[talks.len() / 2];
        let worst = |of: fn(&Self) -> f64| talks.iter().map(of).fold(f64::INFINITY, f64::min);
        let harm = talks.iter().map(|talk| talk.harm).sum();
        Self {
            p50_ms,
            p99_ms,
            jain: worst(|talk| talk.jain),
            share: worst(|talk| talk.share),
            harm,
        }
    }

    fn talk_once(towline: &Path, addr: SocketAddr, time: Duration) -> Result<Self, Error> {
        let output = priority::first(towline)
            .args(["load", &addr.to_string(), "--mode", "paced", "--verify", "--quiet"])
            .args(["-c", &CONNECTIONS.to_string(), "--rate", &LINES_PER_SECOND.to_string()])
            .args(["-T", &format!("{}ms", time.as_millis()), "--json", "-"])
            .args(["--processes", "1", "--threads", "1"])
            .output()?;
        let report = serde_json::from_slice::<Report>(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr);
            format!("the polite peers gave no report ({error}): {}", said.trim())
        })?;
        Ok(report.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_talk_tells_the_latency_and_no_harm_is_forgotten() {
        let report: Report = serde_json::from_str(
            r#"{"latency_us":{"p50":1000,"p99":2000},"rates":{"lines_per_second":4000},
                "verify":{"mismatched":1,"missing":2},"errors":{"connect":3,"reset":4,"timeout":5},
                "connections":{"failed":6,"closed_early":7},"spread":{"jain":0.5}}"#,
        )
        .expect("as the generator writes it");
        let talk = Polite::from(report);
        let other = |p99_ms| Polite { p99_ms, jain: 0.9, share: 1.0, harm: 0, ..talk };
        let all = Polite::of(vec![other(9.0), talk, other(1.0)]);
        assert_eq!(all, Polite { p50_ms: 1.0, p99_ms: 2.0, jain: 0.5, share: 0.8, harm: 28 });
    }
}
