//! The run: predict, start the server, make the connections, hold them, work out the figures.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use towline_doctor::{Facts, Prediction, ProcessCount, Side, Target as Aim, prediction};
use towline_load::{LoadError, Mode, Plan, Report, SourceAddrs, TargetAddr};

use super::Args;
use super::assess::{self, Observed};
use super::result::{Capacity, Doctor, Latencies, Memory, Point, Ramp, Ran};
use crate::bench::host::Host;
use crate::bench::run::{self, Conditions, Recording};
use crate::bench::sampler::Sample;
use crate::bench::say;
use crate::bench::server::Server;
use crate::bench::server_counters::ServerCounters;

/// Most points of the ramp's curve that are kept.
const POINTS: usize = 20;
/// Names the connection and the number of the line, so that a mixed-up reply is noticed.
const MESSAGE: &str = "capacity {conn} {seq}\\n";
/// Longest interval between samples: one of a hundred processes takes a few milliseconds.
const SAMPLE_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// Least number of samples during the hold.
const HOLD_SAMPLES: u32 = 8;

pub(super) fn capacity(args: &Args, interrupt: &Arc<AtomicBool>) -> Result<Capacity, LoadError> {
    let facts = Facts::read();
    let predicted = prediction(&facts, &aim(args));
    say(args.quiet, &format!("doctor: {}", predicted.sentence(&aim(args))));
    let host = Host::read();
    let (server, refusal) = start(args, predicted.processes)?;
    // A server that refused runs with a lower limit; connections beyond it would only queue.
    let wanted = match &refusal {
        None => args.connections,
        Some(why) => {
            say(args.quiet, &format!("the server starts with fewer: {why}"));
            let counters = ServerCounters::scrape(server.admin);
            counters.map_or(args.connections, |c| args.connections.min(c.limit as u32))
        }
    };
    let plan = plan(args, wanted, &server);
    let conditions = Conditions {
        interrupt,
        quiet: args.quiet,
        sample_interval: (args.hold / HOLD_SAMPLES).min(SAMPLE_INTERVAL_MAX),
    };
    let recording = run::run(server, &plan, &conditions)?;

    let report = &recording.report;
    let ramped = report.started_unix + report.ramp_seconds;
    let held = recording.samples.last_within(ramped, ramped + report.after_ramp.seconds);
    let ran = ran(&recording, &held);
    let (outcome, against, wall) = assess::assess(&Observed { refusal, report, held: &held, args });
    Ok(Capacity {
        outcome,
        against,
        requested: args.connections,
        held: assess::held(report, &held),
        first_wall: wall,
        doctor: compare(&predicted, args, assess::held(report, &held)),
        ran,
        kernel: recording.kernel,
        host,
        notes: recording.report.notes,
    })
}

/// The question to doctor.
fn aim(args: &Args) -> Aim {
    let mut aim = Aim::new(args.connections.into(), Side::Both, towline::Settings::default());
    aim.processes = args.processes;
    aim.burst = args.connect_rate.ceil() as u64;
    aim.sources = match &args.sources {
        SourceAddrs::Auto => None,
        SourceAddrs::Ranges(ranges) => Some(ranges.iter().map(addresses).sum()),
    };
    aim
}

/// Hosts of a range: of one with more than two addresses, the first and the last are none.
fn addresses((base, prefix): &(IpAddr, u8)) -> u64 {
    let bits = if base.is_ipv4() { 32 } else { 128 };
    match (bits - u32::from(*prefix)).min(32) {
        free @ 0..=1 => 1 << free,
        free => (1 << free) - 2,
    }
}

/// Starts a server for the connections requested or, if it refuses, for as many as it accepts by
/// itself; then its refusal is returned too.
fn start(args: &Args, needed: u64) -> Result<(Server, Option<String>), LoadError> {
    let mut flags = args.server_flags.clone();
    match args.processes {
        // A server has one process by default.
        ProcessCount::Exactly(1) => {}
        ProcessCount::Auto | ProcessCount::Unspecified if needed == 1 => {}
        ProcessCount::Exactly(count) => flags.push(format!("--processes={count}")),
        ProcessCount::Auto | ProcessCount::Unspecified => flags.push("--processes=auto".to_owned()),
    }
    let mut all = flags.clone();
    all.push(format!("--max-connections={}", args.connections));
    let failed = |why: String| LoadError::failed(format!("the server does not start: {why}"));
    match Server::start(&all) {
        Ok(server) => Ok((server, None)),
        // Any other mistake in the flags fails again without the limit.
        Err(why) => Server::start(&flags).map(|server| (server, Some(why))).map_err(failed),
    }
}

fn plan(args: &Args, connections: u32, server: &Server) -> Plan {
    let mut plan = Plan::new(TargetAddr::from(server.lines));
    plan.connections = connections;
    plan.connect_rate = Some(args.connect_rate);
    plan.connect_timeout = args.connect_timeout;
    plan.duration = args.hold;
    plan.mode = Mode::Paced { rate: f64::from(connections) / args.every.as_secs_f64().max(1e-3) };
    plan.message = MESSAGE.to_owned();
    plan.verify = true;
    plan.sources = args.sources.clone();
    plan
}

fn ran(recording: &Recording, held: &Sample) -> Ran {
    let Recording { report, samples, server_processes, .. } = recording;
    let before = samples.first();
    let connections = report.connections.established.max(1) as f64;
    let each = |grown: f64| grown / connections;
    let heartbeats = |of: fn(&ServerCounters) -> f64| {
        held.counters.as_ref().map_or(0.0, of) - before.counters.as_ref().map_or(0.0, of)
    };
    let taken = before.available - held.available;
    let resident = (held.server.resident - before.server.resident)
        + (held.generator.resident - before.generator.resident);
    let latency = &report.after_ramp.latency_us;
    Ran {
        established: report.connections.established,
        failed: report.connections.failed,
        closed_early: report.connections.closed_early,
        ramp: Ramp {
            seconds: report.ramp_seconds,
            per_second: report.connections.established as f64 / report.ramp_seconds.max(1e-9),
            curve: curve(report),
            connect_p99_us: report.connect_us.p99,
        },
        held_seconds: report.after_ramp.seconds,
        lines_sent: report.lines.sent,
        lines_checked: report.verify.checked,
        lines_lost: report.verify.missing + report.verify.unanswered,
        lines_wrong: report.verify.mismatched,
        latency_us: Latencies {
            count: latency.count,
            p50: latency.p50,
            p99: latency.p99,
            p999: latency.p999,
            max: latency.max,
        },
        heartbeats_sent: heartbeats(|c| c.heartbeats_sent),
        heartbeats_missed: heartbeats(|c| c.heartbeats_missed),
        memory: Memory {
            server_bytes_per_connection: each(held.server.resident - before.server.resident),
            server_resident_bytes: held.server.resident,
            generator_bytes_per_connection: each(
                held.generator.resident - before.generator.resident,
            ),
            generator_resident_bytes: held.generator.resident,
            slab_bytes_per_connection: each(held.slab - before.slab),
            kernel_bytes_per_connection: each(taken - resident),
            available_bytes_per_connection: each(taken),
            available_bytes_left: held.available,
        },
        server_processes: *server_processes as u32,
        generator_processes: report.generator.processes,
        server_cpu_seconds: samples.last().server.cpu - before.server.cpu,
        generator_cpu_seconds: report.generator.cpu_seconds,
    }
}

/// The connections open during the ramp, in at most `POINTS` points.
fn curve(report: &Report) -> Vec<Point> {
    let ramp = report.timeline.iter().take_while(|moment| moment.at < report.ramp_seconds);
    // The sum of an interval lacks the threads that were too busy to report in it.
    let grown = ramp.scan(0, |most, moment| {
        *most = moment.connections.max(*most);
        Some(Point { seconds: moment.at + moment.seconds, connections: *most })
    });
    let all: Vec<_> = grown.collect();
    let step = all.len().div_ceil(POINTS).max(1);
    let last = all.len().saturating_sub(1);
    let kept = all.into_iter().enumerate().filter(|(at, _)| at % step == step - 1 || *at == last);
    kept.map(|(_, point)| point).collect()
}

fn compare(predicted: &Prediction, args: &Args, held: u64) -> Doctor {
    let asked = u64::from(args.connections);
    let expected = predicted.largest.map_or(asked, |largest| largest.min(asked));
    Doctor {
        largest: predicted.largest,
        processes: predicted.processes,
        expected,
        difference_percent: 100.0 * (held as f64 - expected as f64) / expected.max(1) as f64,
        // More processes raise a passable wall, so it does not decide.
        first_wall: predicted.walls.iter().find(|wall| !wall.passable).map(|wall| wall.name),
        answer: predicted.sentence(&aim(args)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_counts_its_hosts() {
        let Ok(SourceAddrs::Ranges(ranges)) =
            SourceAddrs::parse("127.0.0.1,127.0.1.0/24,127.0.2.0/31")
        else {
            panic!("it is a list of ranges");
        };
        assert_eq!(ranges.iter().map(addresses).collect::<Vec<_>>(), [1, 254, 2]);
    }
}
