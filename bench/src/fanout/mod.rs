//! One message to many: towline's example `pubsub` beside other servers, which take turns.

mod servers;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) use self::servers::FanoutServer;
use self::servers::Programs;
use crate::{
    Error,
    c_programs::CPrograms,
    child::Server,
    stats::{Spread, short},
    towline_load::{self as load, Report, Run},
};

/// What is measured.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    what: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Deliveries per server-CPU-second, and their delay, under this load.
    Deliveries(&'static [&'static str]),
    /// The p99 of clients that send lines on a schedule, alone and beside this load.
    Beside(&'static [&'static str]),
    /// Memory under this load of subscribers that read nothing.
    Stuck(&'static [&'static str]),
}

/// The scenarios. The flags are those of `towline load --mode fanout`.
pub(crate) static SCENARIOS: [Scenario; 4] = [
    Scenario {
        name: "idle-10000",
        what: "10,000 subscribers, a message every quarter of a second",
        kind: Kind::Deliveries(&["-c", "10000", "--rate", "4"]),
    },
    Scenario {
        name: "flood-1000",
        what: "1,000 subscribers, at most 1,000 messages ahead of them",
        kind: Kind::Deliveries(&["-c", "1000", "--window", "1000"]),
    },
    Scenario {
        name: "polite-10000",
        what: "20 clients that send 200 lines per second, beside 10,000 subscribers and a message \
               every second",
        kind: Kind::Beside(&["-c", "10000", "--rate", "1"]),
    },
    Scenario {
        name: "stuck-10000",
        what: "10,000 subscribers that read nothing, messages of 16 KiB for ten seconds, up to 1 GiB",
        kind: Kind::Stuck(&[
            "-c",
            "10000",
            "--stuck",
            "10000",
            "--message-bytes",
            "16384",
            "--rate",
            "6554",
            "-T",
            "10s",
            "--drain",
            "30s",
        ]),
    },
];

/// What to measure, and how often.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) towline: PathBuf,
    pub(crate) pubsub: Option<PathBuf>,
    pub(crate) rounds: u32,
    pub(crate) seconds: Duration,
}

/// The table of each scenario. In each round the servers take turns, every one newly started.
pub(crate) fn report(plan: &Plan, scenarios: &[&Scenario]) -> Result<String, Error> {
    let programs = Programs { compiled: CPrograms::compile_all()?, pubsub: plan.pubsub.clone() };
    let mut text = String::new();
    for scenario in scenarios {
        let mut rows: Vec<Row> = FanoutServer::ALL.map(Row::new).into();
        for round in 0..plan.rounds {
            for row in &mut rows {
                eprintln!("{} {}/{}: {}", scenario.name, round + 1, plan.rounds, row.server.name());
                match programs.start(row.server)? {
                    Some(server) => row.measure(plan, scenario, &server)?,
                    None => row.absent = true,
                }
            }
        }
        let _ = writeln!(text, "**{}**: {}.\n\n{}", scenario.name, scenario.what, head(scenario));
        rows.iter().for_each(|row| text += &row.show(scenario, &rows[0]));
        text.push('\n');
    }
    Ok(text)
}

/// The measurements of a server in a scenario.
#[derive(Debug)]
struct Row {
    server: FanoutServer,
    absent: bool,
    runs: Vec<Run>,
    /// The p99 of the polite clients alone and beside the load, in microseconds.
    alone: Vec<f64>,
    beside: Vec<f64>,
}

impl Row {
    fn new(server: FanoutServer) -> Self {
        Self { server, absent: false, runs: vec![], alone: vec![], beside: vec![] }
    }

    fn measure(&mut self, plan: &Plan, scenario: &Scenario, server: &Server) -> Result<(), Error> {
        let time = format!("{}ms", plan.seconds.as_millis());
        let fan_out = ["--mode", "fanout", "--protocol", self.server.protocol()];
        match scenario.kind {
            Kind::Deliveries(flags) => {
                let flags = [&fan_out[..], flags, &["-T", &time]].concat();
                self.runs.push(load::run(&plan.towline, server, &flags)?);
            }
            Kind::Stuck(flags) => {
                let flags = [&fan_out[..], flags].concat();
                self.runs.push(load::run(&plan.towline, server, &flags)?);
            }
            Kind::Beside(flags) => {
                let Some(ping) = self.server.ping() else { return Ok(()) };
                self.alone.push(self::polite(&plan.towline, server, ping, &time)?.latency_us.p99);
                // The fan-out begins before the clients and ends after them.
                let longer = format!("{}ms", plan.seconds.as_millis() + 6000);
                let flags = [&fan_out[..], flags, &["-T", &longer]].concat();
                let fan_out = load::start(&plan.towline, server.addr, &flags)?;
                std::thread::sleep(Duration::from_secs(4));
                let polite = self::polite(&plan.towline, server, ping, &time);
                let report = load::finish(fan_out)?;
                if report.failures() > 0 || report.lines.received == 0 {
                    return Err(failed(self.server, &report));
                }
                self.beside.push(polite?.latency_us.p99);
            }
        }
        Ok(())
    }

    fn show(&self, scenario: &Scenario, first: &Self) -> String {
        let name = self.server.name();
        if self.absent {
            return format!("| {name} | not on this host |\n");
        }
        let of = |row: &Self, figure: fn(&Run) -> f64| {
            Spread::of(&row.runs.iter().map(figure).collect::<Vec<_>>())
        };
        let millis = |micros: f64| format!("{} ms", short(micros / 1000.0));
        match scenario.kind {
            Kind::Deliveries(_) => {
                let Some(rate) = of(self, Run::per_cpu_second) else { return String::new() };
                let ratio = of(first, Run::per_cpu_second)
                    .map_or("-".to_owned(), |ours| short(ours.median / rate.median));
                let median = |figure| of(self, figure).map_or(0.0, |figure| figure.median);
                let failures: u64 = self.runs.iter().map(|run| run.report.failures()).sum();
                format!(
                    "| {name} | {} ({} to {}) | {ratio} | {} | {} | {failures} | {} |\n",
                    short(rate.median),
                    short(rate.min),
                    short(rate.max),
                    millis(median(|run| run.report.latency_us.p50)),
                    millis(median(|run| run.report.latency_us.p99)),
                    if self.runs.iter().any(Run::is_saturated) { "yes" } else { "no" },
                )
            }
            Kind::Beside(_) => match (Spread::of(&self.alone), Spread::of(&self.beside)) {
                (Some(alone), Some(beside)) => format!(
                    "| {name} | {} | {} | {} |\n",
                    millis(alone.median),
                    millis(beside.median),
                    short(beside.median / alone.median)
                ),
                _ => format!("| {name} | greets its clients first: not measured |\n"),
            },
            Kind::Stuck(_) => {
                let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
                let Some(run) = self.runs.iter().max_by_key(|run| run.resident_max) else {
                    return String::new();
                };
                let (resident, highest) = (run.resident, run.resident_max);
                format!(
                    "| {name} | {} | +{} | {} | {} | {} |\n",
                    mib(resident),
                    mib(highest.saturating_sub(resident)),
                    run.report.lines.sent,
                    run.report.fanout.stuck_ended,
                    run.report.connections.closed_early,
                )
            }
        }
    }
}

fn head(scenario: &Scenario) -> &'static str {
    match scenario.kind {
        Kind::Deliveries(_) => {
            "| server | deliveries per server-CPU-second | towline's are … times that | delay p50 | p99 | \
             wrong or missing | load saturated |\n|---|---|---|---|---|---|---|"
        }
        Kind::Beside(_) => "| server | p99 alone | p99 beside | ratio |\n|---|---|---|---|",
        Kind::Stuck(_) => {
            "| server | resident once subscribed | highest | messages published | stuck connections that \
             the server ended | others that it ended |\n|---|---|---|---|---|---|"
        }
    }
}

/// Clients that send lines at a low rate.
fn polite(
    towline: &Path,
    server: &Server,
    (message, reply): (&str, &str),
    time: &str,
) -> Result<Report, Error> {
    let flags = ["-c", "20", "--rate", "200", "-m", message, "--expect", reply, "-T", time];
    load::finish(load::start(towline, server.addr, &flags)?)
}

fn failed(server: FanoutServer, report: &Report) -> Error {
    format!("{}: {:?} {:?}", server.name(), report.verify, report.connections).into()
}
