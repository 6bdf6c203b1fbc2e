//! The well-behaved clients: their latency and losses show what an attack does to others.

use std::{net::SocketAddr, path::Path, time::Duration};

use serde::Deserialize;

use super::priority;
use crate::Error;

/// Connections of the well-behaved clients, and their lines per second in all.
pub(crate) const CONNECTIONS: u32 = 1000;
pub(crate) const LINES_PER_SECOND: u32 = 5000;

/// What the well-behaved clients observed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ClientReport {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Jain's index of the lines served for each connection: 1 is perfectly even.
    pub(crate) jain: f64,
    /// Lines that came back, as a share of those sent on schedule.
    pub(crate) share: f64,
    /// Failed and closed connections, and wrong and missing replies.
    pub(crate) failures: u64,
}

/// The fields of the load generator's report that are used.
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
    /// Lines answered with an error line, such as `ERR overloaded`.
    error_replies: u64,
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

impl From<Report> for ClientReport {
    fn from(report: Report) -> Self {
        let Report { latency_us, rates, verify, errors, connections, spread } = report;
        let lines = verify.mismatched + verify.missing + verify.error_replies;
        let broken = errors.connect + errors.reset + errors.timeout;
        Self {
            p50_ms: latency_us.p50 / 1e3,
            p99_ms: latency_us.p99 / 1e3,
            jain: spread.jain,
            share: rates.lines_per_second / f64::from(LINES_PER_SECOND),
            failures: lines + broken + connections.failed + connections.closed_early,
        }
    }
}

impl ClientReport {
    /// Measures for `time`, `repetitions` times: the latency is that of the median repetition, the other
    /// figures are the worst of all. Every reply is compared with its line if the server `echoes`.
    pub(crate) fn measure(
        towline: &Path,
        addr: SocketAddr,
        echoes: bool,
        time: Duration,
        repetitions: u32,
    ) -> Result<Self, Error> {
        let all = (0..repetitions).map(|_| Self::measure_once(towline, addr, echoes, time));
        Ok(Self::combine(all.collect::<Result<_, _>>()?))
    }

    fn combine(mut all: Vec<Self>) -> Self {
        all.sort_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms));
        let Self { p50_ms, p99_ms, .. } = all[all.len() / 2];
        let worst = |of: fn(&Self) -> f64| all.iter().map(of).fold(f64::INFINITY, f64::min);
        let failures = all.iter().map(|one| one.failures).sum();
        Self {
            p50_ms,
            p99_ms,
            jain: worst(|one| one.jain),
            share: worst(|one| one.share),
            failures,
        }
    }

    fn measure_once(
        towline: &Path,
        addr: SocketAddr,
        echoes: bool,
        time: Duration,
    ) -> Result<Self, Error> {
        let output = priority::real_time_command(towline)
            .args(["load", &addr.to_string(), "--mode", "paced", "--quiet"])
            .args(echoes.then_some("--verify"))
            .args(["-c", &CONNECTIONS.to_string(), "--rate", &LINES_PER_SECOND.to_string()])
            .args(["-T", &format!("{}ms", time.as_millis()), "--json", "-"])
            .args(["--processes", "1", "--threads", "1"])
            .output()?;
        let report = serde_json::from_slice::<Report>(&output.stdout).map_err(|error| {
            let stderr = String::from_utf8_lossy(&output.stderr);
            format!("the well-behaved clients gave no report ({error}): {}", stderr.trim())
        })?;
        Ok(report.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latency_is_the_median_and_failures_are_summed() {
        let report: Report = serde_json::from_str(
            r#"{"latency_us":{"p50":1000,"p99":2000},"rates":{"lines_per_second":4000},
                "verify":{"mismatched":1,"missing":2,"error_replies":0},"errors":{"connect":3,"reset":4,"timeout":5},
                "connections":{"failed":6,"closed_early":7},"spread":{"jain":0.5}}"#,
        )
        .expect("as the generator writes it");
        let one = ClientReport::from(report);
        let other = |p99_ms| ClientReport { p99_ms, jain: 0.9, share: 1.0, failures: 0, ..one };
        let all = ClientReport::combine(vec![other(9.0), one, other(1.0)]);
        assert_eq!(
            all,
            ClientReport { p50_ms: 1.0, p99_ms: 2.0, jain: 0.5, share: 0.8, failures: 28 }
        );
    }
}
