//! Runs `towline load` against a server, and reads what the server spent meanwhile.

use std::{
    net::SocketAddr,
    ops::ControlFlow,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::Deserialize;

use crate::{
    Error,
    child::{LOAD_CORE, Server, on_core},
    kernel::{cpu_time, resident_bytes},
    periodic::Periodic,
};

/// Interval of the samples of the server's CPU time and memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// The fields of the load's report that are used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Report {
    started_unix: f64,
    ramp_seconds: f64,
    seconds: f64,
    pub(crate) lines: Lines,
    pub(crate) latency_us: Latency,
    pub(crate) verify: Verify,
    pub(crate) connections: Connections,
    pub(crate) fanout: Fanout,
    generator: Generator,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Lines {
    pub(crate) sent: u64,
    pub(crate) received: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Latency {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Verify {
    mismatched: u64,
    missing: u64,
    error_replies: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(crate) struct Connections {
    pub(crate) failed: u64,
    pub(crate) closed_early: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Fanout {
    pub(crate) stuck_ended: u64,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Generator {
    saturated: bool,
}

impl Report {
    /// What went wrong for those who read.
    pub(crate) fn failures(&self) -> u64 {
        let Verify { mismatched, missing, error_replies } = self.verify;
        let Connections { failed, closed_early } = self.connections;
        mismatched + missing + error_replies + failed + closed_early
    }
}

/// A load, and what the server spent between the end of the ramp and its last byte.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) report: Report,
    pub(crate) server_cpu: Duration,
    /// Resident memory of the server once all connections were made, and its highest after that.
    pub(crate) resident: u64,
    pub(crate) resident_max: u64,
}

impl Run {
    /// Messages received for each second of the server's CPU time.
    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.report.lines.received as f64 / self.server_cpu.as_secs_f64()
    }

    /// Whether the load had work waiting almost all the time.
    pub(crate) fn is_saturated(&self) -> bool {
        self.report.generator.saturated
    }
}

/// A sample of a server.
#[derive(Clone, Copy, Debug)]
struct Sample {
    unix: f64,
    cpu: Duration,
    resident: u64,
}

/// Runs a load to its end.
pub(crate) fn run(towline: &Path, server: &Server, arguments: &[&str]) -> Result<Run, Error> {
    let samples = sample(server.pid());
    let finished = finish(start(towline, server.addr, arguments)?);
    let samples = samples.finish()?;
    let report = finished?;
    let steady = report.started_unix + report.ramp_seconds;
    let (before, after) =
        (at(&samples, steady), at(&samples, report.started_unix + report.seconds));
    let (Some(before), Some(after)) = (before, after) else {
        return Err("the load ended before the server was sampled".into());
    };
    let later = samples.iter().filter(|sample| sample.unix >= steady);
    Ok(Run {
        server_cpu: after.cpu.saturating_sub(before.cpu),
        resident: before.resident,
        resident_max: later.map(|sample| sample.resident).max().unwrap_or_default(),
        report,
    })
}

/// Starts a load on a core of its own.
pub(crate) fn start(
    towline: &Path,
    server: SocketAddr,
    arguments: &[&str],
) -> Result<Child, Error> {
    let mut command = Command::new(towline);
    command.args(["load", &server.to_string(), "--quiet", "--json", "-", "--threads", "1"]);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Ok(on_core(LOAD_CORE, || command.spawn())?)
}

/// Waits for the end of a load.
pub(crate) fn finish(child: Child) -> Result<Report, Error> {
    let output = child.wait_with_output()?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("towline load ended without a report ({error})").into())
}

fn sample(pid: u32) -> Periodic<Vec<Sample>> {
    Periodic::start(SAMPLE_INTERVAL, Vec::new(), move |samples: &mut Vec<Sample>| {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        samples.push(Sample {
            unix: unix.as_secs_f64(),
            cpu: cpu_time(pid),
            resident: resident_bytes(pid).unwrap_or_default(),
        });
        ControlFlow::Continue(())
    })
}

/// The state of the server at a moment: its CPU time between two samples is interpolated.
fn at(samples: &[Sample], unix: f64) -> Option<Sample> {
    let after = samples.iter().position(|sample| sample.unix >= unix);
    let (Some(after), Some(last)) = (after, samples.last()) else { return samples.last().copied() };
    let (b, a) = (samples[after], samples[after.checked_sub(1)?]);
    let share = ((unix - a.unix) / (b.unix - a.unix).max(1e-9)).clamp(0.0, 1.0);
    let cpu = a.cpu + b.cpu.saturating_sub(a.cpu).mul_f64(share);
    Some(Sample { cpu, unix: unix.min(last.unix), ..a })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_between_two_samples_is_interpolated() {
        let sample =
            |unix, millis, resident| Sample { unix, cpu: Duration::from_millis(millis), resident };
        let samples = [sample(1.0, 100, 1), sample(2.0, 300, 2), sample(3.0, 300, 3)];
        assert_eq!(at(&samples, 1.5).unwrap().cpu, Duration::from_millis(200));
        assert_eq!(at(&samples, 1.5).unwrap().resident, 1);
        assert_eq!(at(&samples, 9.0).unwrap().cpu, Duration::from_millis(300));
        assert!(at(&samples, 0.5).is_none() && at(&[], 1.0).is_none());
    }
}
