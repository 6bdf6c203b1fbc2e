//! The run: predict, start the server, make the connections, hold them, take the accounts.

use std::env;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use towline_doctor::{Facts, Prediction, Processes, Side, Target as Aim, prediction};
use towline_load::{
    LoadError, Mode, Plan, Progress, Report, RunOptions, SourceAddrs, TargetAddr, WorkerProgram,
};

use super::Args;
use super::assess::{self, Evidence};
use super::result::{Capacity, Doctor, Latencies, Memory, Point, Ramp, Ran};
use super::sampler::{Course, Sample, Sampler};
use crate::bench::host::{Counters, Host};
use crate::bench::scrape;
use crate::bench::server::Server;

/// Most points of the ramp's course that are kept.
const POINTS: usize = 20;
/// Its line tells which connection sent it and which of its lines it is.
const MESSAGE: &str = "capacity {conn} {seq}\\n";

pub(super) fn capacity(args: &Args, interrupt: &Arc<AtomicBool>) -> Result<Capacity, LoadError> {
    let facts = Facts::read();
    let predicted = prediction(&facts, &aim(args));
    args.say(&format!("doctor: {}", predicted.sentence(&aim(args))));
    let host = Host::here();
    let (server, refusal) = start(args, predicted.processes)?;
    // The server may have been allowed fewer than were asked for; more than that only queue.
    let wanted = match &refusal {
        None => args.connections,
        Some(why) => {
            args.say(&format!("the server starts with fewer: {why}"));
            limit(&server).unwrap_or(args.connections).min(args.connections)
        }
    };
    let server = Arc::new(server);
    let kernel = Counters::now();
    let sampler = Sampler::start(&server, args.hold);
    let options = RunOptions {
        worker: env::current_exe()
            .ok()
            .map(|program| WorkerProgram { program, arguments: crate::load::worker_arguments() }),
        interrupt: Arc::clone(interrupt),
        progress: if args.quiet { Progress::Quiet } else { Progress::Auto },
    };
    let report = towline_load::run(&plan(args, wanted, &server), &options);
    let course = sampler.finish();
    let kernel = Counters::now().moved_since(&kernel);
    let processes = server.processes().len();
    // The sampler has ended, so this is the last hold on it.
    if let Some(server) = Arc::into_inner(server) {
        server.stop();
    }
    let report = report?;

    let ramped = report.started_unix + report.ramp_seconds;
    let held = course.last_within(ramped, ramped + report.after_ramp.seconds);
    let ran = ran(&report, &course, &held, processes);
    let evidence = Evidence { refusal, report: &report, held: &held, args };
    let (verdict, against, wall) = assess::judge(&evidence);
    Ok(Capacity {
        verdict,
        against,
        requested: args.connections,
        held: assess::held(&report, &held),
        first_wall: wall,
        doctor: compare(&predicted, args, assess::held(&report, &held)),
        ran,
        kernel,
        host,
        notes: report.notes,
    })
}

/// What doctor is asked about.
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

/// Addresses of a range, without the network's own and the broadcast address of larger ones.
fn addresses((base, prefix): &(IpAddr, u8)) -> u64 {
    let bits = if base.is_ipv4() { 32 } else { 128 };
    match (bits - u32::from(*prefix)).min(32) {
        free @ 0..=1 => 1 << free,
        free => (1 << free) - 2,
    }
}

/// Starts a server for as many connections as asked for or, if it refuses, for as many as it takes;
/// with what it said then.
fn start(args: &Args, needed: u64) -> Result<(Server, Option<String>), LoadError> {
    let mut flags = args.server_flags.clone();
    match args.processes {
        // One process is what a server is without a word.
        Processes::Exactly(1) => {}
        Processes::Auto | Processes::Unsaid if needed == 1 => {}
        Processes::Exactly(count) => flags.push(format!("--processes={count}")),
        Processes::Auto | Processes::Unsaid => flags.push("--processes=auto".to_owned()),
    }
    let mut all = flags.clone();
    all.push(format!("--max-connections={}", args.connections));
    let failed = |why: String| LoadError::failed(format!("the server does not start: {why}"));
    match Server::start(&all) {
        Ok(server) => Ok((server, None)),
        // Anything else that is wrong with the flags is wrong without a number too.
        Err(why) => Server::start(&flags).map(|server| (server, Some(why))).map_err(failed),
    }
}

/// The limit that the server says it has.
fn limit(server: &Server) -> Option<u32> {
    let answer = scrape::metrics(server.admin)?;
    let mut samples = scrape::samples(&answer);
    samples
        .find_map(|(name, _, value)| (name == "towline_connections_limit").then_some(value as u32))
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

fn ran(report: &Report, course: &Course, held: &Sample, processes: usize) -> Ran {
    let before = course.first();
    let connections = report.connections.established.max(1) as f64;
    let each = |grown: f64| grown.max(0.0) / connections;
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
        heartbeats_sent: held.heartbeats_sent - before.heartbeats_sent,
        heartbeats_missed: held.heartbeats_missed - before.heartbeats_missed,
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
        server_processes: processes as u32,
        generator_processes: report.generator.processes,
        server_cpu_seconds: course.last().server.cpu - before.server.cpu,
        generator_cpu_seconds: report.generator.cpu_seconds,
    }
}

/// The connections open over the time of the ramp, in a few points.
fn curve(report: &Report) -> Vec<Point> {
    let ramp = report.timeline.iter().take_while(|moment| moment.at < report.ramp_seconds);
    // A lane that was too busy to tell in an interval is missing from its sum.
    let grown = ramp.scan(0, |most, moment| {
        *most = moment.connections.max(*most);
        Some(Point { seconds: moment.at + moment.seconds, connections: *most })
    });
    let all: Vec<_> = grown.collect();
    let step = all.len().div_ceil(POINTS).max(1);
    let last = all.len().saturating_sub(1);
    let kept =
        all.into_iter().enumerate().filter(|(place, _)| place % step == step - 1 || *place == last);
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
        // The wall that decides, and not one that more processes lead past.
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
