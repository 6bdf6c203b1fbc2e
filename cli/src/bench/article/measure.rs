//! One column: start the server, load it, and work out its figures.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use towline_load::{BehaviorGroup, LoadError, Mode, Period, Plan, Report, TargetAddr};

use super::Args;
use super::column::Column;
use super::diagnosis::{Diagnosis, Evidence};
use super::result::{Cells, Measured, ServerSide, Stretch};
use crate::bench::host;
use crate::bench::run::{self, Conditions};
use crate::bench::sampler::{Sample, Samples};
use crate::bench::server::Server;
use crate::bench::server_counters::ServerCounters;

/// Descriptors of a server beside those of its connections: it reserves 64, and 4 a thread.
const OTHER_DESCRIPTORS: u64 = 64 + 16;
const MIB: f64 = 1024.0 * 1024.0;
/// Bytes of a full packet, as tcpkali estimates.
const SEGMENT_BYTES: u64 = 1460;
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// Runs a column. A server that does not start is a diagnosis and not an error.
pub(super) fn column(
    column: &Column,
    args: &Args,
    interrupt: &Arc<AtomicBool>,
) -> Result<Cells, LoadError> {
    let connections = column.scaled(args.scale);
    let cells = |measured, diagnosis| Cells {
        number: column.number,
        name: column.name,
        title: column.title(args.scale),
        profile: column.profile,
        article: column.article,
        measured,
        diagnosis,
    };
    let (server, processes, threads) = match start(column, args, connections) {
        Ok(started) => started,
        Err(why) => return Ok(cells(None, Diagnosis::not_started(&why))),
    };
    let plan = plan(column, args, connections, &server);
    let conditions = Conditions { interrupt, quiet: args.quiet, sample_interval: SAMPLE_INTERVAL };
    let run::Recording { report, samples, kernel, .. } = run::run(server, &plan, &conditions)?;

    let start = report.started_unix;
    let ramped = start + report.ramp_seconds;
    let ended = ramped + report.after_ramp.seconds;
    let whole = Period {
        seconds: ended - start,
        lines: report.lines,
        bytes: report.bytes,
        calls: report.calls,
        rates: report.rates,
        latency_us: report.latency_us,
    };
    let after_ramp = stretch(&report, &report.after_ramp, &samples, (ramped, ended));
    let evidence = Evidence {
        connections: connections.into(),
        connect_errors: report.connect_errors.clone(),
        ramp_late: report.ramp_seconds - f64::from(connections) / column.connect_rate,
        kernel: kernel.clone(),
        longest_accept_queue: samples.longest_accept_queue(),
        cores: host::cores() as f64,
        server_threads: (threads * processes).into(),
        generator_threads: report.generator.threads.into(),
        server_used: after_ramp.server_cores_used,
        server_queued: after_ramp.server_cores_wanted,
        generator_used: report.generator.cpu_seconds / report.seconds.max(f64::MIN_POSITIVE),
        generator_awake: busiest(&report, "awake"),
        generator_queued: busiest(&report, "waiting_for_cpu"),
        write_wait_share: after_ramp.write_wait_share,
    };
    let grown = samples.at(ended, |s, _| s.server.resident) - samples.first().server.resident;
    let measured = Measured {
        ramp_seconds: report.ramp_seconds,
        whole: stretch(&report, &whole, &samples, (start, ended)),
        after_ramp,
        server: ServerSide {
            processes,
            threads: threads * processes,
            bytes_per_connection: grown / report.connections.established.max(1) as f64,
            longest_accept_queue: samples.longest_accept_queue(),
        },
        marked: !kernel.is_empty(),
        kernel,
        connections: report.connections,
        generator: report.generator,
        verify: report.verify,
        notes: report.notes,
    };
    Ok(cells(Some(measured), Diagnosis::of(&evidence)))
}

/// Starts a server of as many processes as the connections need; returns it with the number of
/// processes, and of threads in each.
fn start(column: &Column, args: &Args, connections: u32) -> Result<(Server, u32, u32), String> {
    let room = host::descriptors().saturating_sub(OTHER_DESCRIPTORS).max(1);
    let needed = u64::from(connections).div_ceil(room) as u32;
    let processes = args.processes.unwrap_or(needed);
    let threads = (host::cores() as u32 / processes).max(1);
    let mut flags = vec![
        format!("--profile={}", column.profile),
        format!("--processes={processes}"),
        format!("--threads={threads}"),
        format!("--max-connections={connections}"),
    ];
    // A flag from the command line replaces ours of the same name.
    let name =
        |flag: &str| flag.split_once('=').map_or(flag.to_owned(), |(name, _)| name.to_owned());
    flags.retain(|ours| args.server_flags.iter().all(|theirs| name(theirs) != name(ours)));
    flags.extend(args.server_flags.iter().cloned());
    Ok((Server::start(&flags)?, processes, threads))
}

/// The article's load: every connection kept full of `ping\n`. Every reply is compared; replies under
/// way at the end are not waited for, as with tcpkali.
fn plan(column: &Column, args: &Args, connections: u32, server: &Server) -> Plan {
    let mut plan = Plan::new(TargetAddr::from(server.lines));
    plan.connections = connections;
    plan.connect_rate = Some(column.connect_rate);
    plan.connect_timeout = args.connect_timeout;
    plan.duration = args.duration;
    plan.mode = Mode::Flood;
    plan.verify = true;
    plan.drain = std::time::Duration::ZERO;
    plan.mix =
        args.persona.map(|behavior| BehaviorGroup { behavior, connections }).into_iter().collect();
    plan
}

fn stretch(report: &Report, period: &Period, samples: &Samples, (from, to): (f64, f64)) -> Stretch {
    let per = |amount: f64, over: f64| if over > 0.0 { amount / over } else { 0.0 };
    let grown = |figure: fn(&Sample, &ServerCounters) -> f64| {
        samples.at(to, figure) - samples.at(from, figure)
    };
    let connected = grown(|_, counters| counters.connected);
    let cpu = grown(|sample, _| sample.server.cpu);
    let both = (period.bytes.sent + period.bytes.received) as f64;
    Stretch {
        seconds: period.seconds,
        sent_mib: period.bytes.sent as f64 / MIB,
        received_mib: period.bytes.received as f64 / MIB,
        lines_per_second: per(period.lines.received as f64, period.seconds),
        per_connection_kbps: per(both, period.seconds)
            / report.connections.established.max(1) as f64
            / 1000.0,
        mbps_down: per(period.bytes.received as f64 * 8e-6, period.seconds),
        mbps_up: per(period.bytes.sent as f64 * 8e-6, period.seconds),
        packets_down: per(packets(period.calls.received, period.bytes.received), period.seconds),
        packets_up: per(packets(period.calls.sent, period.bytes.sent), period.seconds),
        read_wait_share: per(grown(|_, counters| counters.read_wait), connected),
        write_wait_share: per(grown(|_, counters| counters.write_wait), connected),
        server_cpu_seconds: cpu,
        server_lines_per_cpu_second: per(grown(|_, counters| counters.lines), cpu),
        server_cores_used: per(cpu, to - from),
        server_cores_wanted: per(grown(|sample, _| sample.server.queued), to - from),
    }
}

/// tcpkali's estimate: every call moves whole packets, as many as the mean bytes of a call need.
fn packets(calls: u64, bytes: u64) -> f64 {
    let each = bytes.checked_div(calls).unwrap_or(0).div_ceil(SEGMENT_BYTES);
    (each * calls) as f64
}

fn busiest(report: &Report, share: &str) -> f64 {
    report.generator.busiest.get(share).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_estimated_as_tcpkali_does() {
        assert_eq!(packets(100, 100 * 5), 100.0);
        assert_eq!(packets(10, 10 * 65536), 450.0);
        assert_eq!(packets(0, 0), 0.0);
    }
}
