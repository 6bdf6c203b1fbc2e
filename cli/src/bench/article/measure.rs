//! One column: start the server, load it, take the accounts, end it.

use std::env;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use towline_load::{
    BehaviorGroup, LoadError, Mode, Period, Plan, Progress, Report, RunOptions, TargetAddr,
    WorkerProgram,
};

use super::Args;
use super::column::Column;
use super::diagnosis::{Evidence, Verdict};
use super::result::{Cells, Measured, ServerSide, Stretch};
use crate::bench::host::{self, Counters};
use crate::bench::sampler::{Course, Sampler};
use crate::bench::server::Server;

/// What a server needs descriptors for beside its connections: it reserves 64, and 4 a thread.
const DESCRIPTORS_ASIDE: u64 = 64 + 16;
const MIB: f64 = 1024.0 * 1024.0;
/// What tcpkali takes a packet to hold.
const SEGMENT: u64 = 1460;

/// Runs a column. A server that does not start is a verdict and not an error.
pub(super) fn column(
    column: &Column,
    args: &Args,
    interrupt: &Arc<AtomicBool>,
) -> Result<Cells, LoadError> {
    let connections = ((f64::from(column.connections) * args.scale).round() as u32).max(1);
    let cells = |measured, verdict| Cells {
        number: column.number,
        name: column.name,
        profile: column.profile,
        article: column.article,
        measured,
        verdict,
    };
    let (server, processes, threads) = match start(column, args, connections) {
        Ok(started) => started,
        Err(why) => return Ok(cells(None, Verdict::not_started(&why))),
    };
    let plan = plan(column, args, connections, &server);
    let options = RunOptions {
        worker: env::current_exe()
            .ok()
            .map(|program| WorkerProgram { program, arguments: crate::load::worker_arguments() }),
        interrupt: Arc::clone(interrupt),
        progress: if args.quiet { Progress::Quiet } else { Progress::Auto },
    };
    let server = Arc::new(server);
    let kernel = Counters::now();
    let sampler = Sampler::start(&server);
    let report = towline_load::run(&plan, &options);
    let course = sampler.finish();
    let kernel = Counters::now().moved_since(&kernel);
    // The sampler has ended, so this is the last hold on it.
    Arc::into_inner(server).into_iter().for_each(Server::stop);
    let report = report?;

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
    let after_ramp = stretch(&report, &report.after_ramp, &course, (ramped, ended));
    let idle = course.first().usage.resident;
    let evidence = Evidence {
        connections: connections.into(),
        connect_errors: report.connect_errors.clone(),
        ramp_late: report.ramp_seconds - f64::from(connections) / column.connect_rate,
        kernel: kernel.clone(),
        longest_accept_queue: course.longest_accept_queue(),
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
    let measured = Measured {
        ramp_seconds: report.ramp_seconds,
        whole: stretch(&report, &whole, &course, (start, ended)),
        after_ramp,
        server: ServerSide {
            processes,
            threads: threads * processes,
            bytes_per_connection: (course.at(ended).usage.resident - idle).max(0.0)
                / report.connections.established.max(1) as f64,
            longest_accept_queue: course.longest_accept_queue(),
        },
        marked: !kernel.is_empty(),
        kernel,
        connections: report.connections,
        generator: report.generator,
        verify: report.verify,
        notes: report.notes,
    };
    Ok(cells(Some(measured), Verdict::of(&evidence)))
}

/// Starts a server of as many processes as the connections need, and tells how many and of how many
/// threads each.
fn start(column: &Column, args: &Args, connections: u32) -> Result<(Server, u32, u32), String> {
    let room = host::descriptors().saturating_sub(DESCRIPTORS_ASIDE).max(1);
    let needed = u64::from(connections).div_ceil(room) as u32;
    let processes = args.processes.unwrap_or(needed);
    let threads = (host::cores() as u32 / processes).max(1);
    let mut flags = vec![
        format!("--profile={}", column.profile),
        format!("--processes={processes}"),
        format!("--threads={threads}"),
        format!("--max-connections={connections}"),
    ];
    // Who gives a flag means it: ours of the same name goes.
    let name =
        |flag: &str| flag.split_once('=').map_or(flag.to_owned(), |(name, _)| name.to_owned());
    flags.retain(|ours| args.server_flags.iter().all(|theirs| name(theirs) != name(ours)));
    flags.extend(args.server_flags.iter().cloned());
    Ok((Server::start(&flags)?, processes, threads))
}

/// The article's load: every pipe kept full of `ping\n`. Every reply is compared; what is still in
/// the pipes at the end is not waited for, as tcpkali did not.
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

fn stretch(report: &Report, period: &Period, course: &Course, (from, to): (f64, f64)) -> Stretch {
    let (begin, end) = (course.at(from), course.at(to));
    let per = |amount: f64, over: f64| if over > 0.0 { amount / over } else { 0.0 };
    let connected = end.accounts.connected - begin.accounts.connected;
    let cpu = end.usage.cpu - begin.usage.cpu;
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
        read_wait_share: per(end.accounts.read_wait - begin.accounts.read_wait, connected),
        write_wait_share: per(end.accounts.write_wait - begin.accounts.write_wait, connected),
        server_cpu_seconds: cpu,
        server_lines_per_cpu_second: per(end.accounts.lines - begin.accounts.lines, cpu),
        server_cores_used: per(cpu, to - from),
        server_cores_wanted: per(end.usage.queued - begin.usage.queued, to - from),
    }
}

/// tcpkali's estimate: every call moves whole packets, as many as its mean of bytes needs.
fn packets(calls: u64, bytes: u64) -> f64 {
    let each = bytes.checked_div(calls).unwrap_or(0).div_ceil(SEGMENT);
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
