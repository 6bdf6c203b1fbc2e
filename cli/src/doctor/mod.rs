//! `towline doctor`: whether this host holds a number of connections, which limit is reached first, and
//! what to change.

mod json;
mod text;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::ValueEnum;
use towline_config::Effective;
use towline_doctor::{
    Facts, Fix, Form, Handshakes, Prediction, ProcessCount, Row, Side, Target, Verdict, fragment,
    grouped, prediction, rows,
};
use towline_load::LoadError;

use crate::{exit, flag_value, flags::LayerFlags, help};

/// Connections to check for by default: the smaller of the article's two figures.
const CONNECTIONS: u64 = 10_000;
/// Most connections to compute with; no host comes near.
const CONNECTIONS_MAX: u64 = 1_000_000_000;
/// Most processes, as for `server.processes`.
const PROCESSES_MAX: u64 = 1024;

/// Check limits and kernel parameters for a number of connections, and name the first limit reached.
#[derive(Debug, clap::Args)]
#[command(after_help = help::DOCTOR)]
pub(crate) struct Args {
    /// Open connections to check for [default: limits.connections, or 10k where it is auto]
    #[arg(short, long, value_name = "N", value_parser = count)]
    connections: Option<u64>,
    /// New connections per second at the peak [default: all of them within ten seconds]
    #[arg(long, value_name = "N", value_parser = count)]
    burst: Option<u64>,
    /// Processes to spread them over: a number, or auto for as many as descriptors require
    /// [default: server.processes]
    #[arg(long, value_name = "N|auto", value_parser = processes)]
    processes: Option<ProcessCount>,
    /// The program that holds them here; both means server and load generator on this host
    #[arg(long, value_enum, default_value = "server")]
    side: SideName,
    /// Connections that are busy at any time, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(0..=100))]
    active: u64,
    /// Lines per second over all connections [default: one per busy connection]
    #[arg(long, value_name = "N", value_parser = count)]
    lines: Option<u64>,
    /// Source addresses of outgoing connections [default: 1; with both, all of 127.0.0.0/8]
    #[arg(long, value_name = "N", value_parser = count)]
    sources: Option<u64>,
    /// Clients speak TLS: measures handshakes, too [default: whether tls.cert is set]
    #[arg(long)]
    tls: bool,
    /// Number of addresses and ports to which outgoing connections lead
    #[arg(long, value_name = "N", value_parser = count, default_value = "1")]
    targets: u64,
    /// Print only the fixes, as a fragment of a configuration file of this kind
    #[arg(long, value_enum, conflicts_with = "json")]
    emit: Option<FormName>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    layers: LayerFlags,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SideName {
    Server,
    Load,
    Both,
    Proxy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormName {
    Sysctl,
    Systemd,
    Compose,
    Kubernetes,
}

/// Everything that is printed, in any form.
#[derive(Debug)]
struct Diagnosis {
    facts: Facts,
    target: Target,
    rows: Vec<Row>,
    prediction: Prediction,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let effective = match args.layers.load() {
        Ok(effective) => effective,
        Err(errors) => return exit::with_configuration(&errors),
    };
    let (mut facts, target) = (Facts::read(), args.target(effective));
    if target.tls && matches!(target.side, Side::Server | Side::Both) {
        facts.handshakes = Handshakes::measure();
    }
    let diagnosis = Diagnosis::of(facts, target);
    let printed = match args.emit {
        Some(form) => {
            let Diagnosis { facts, target, rows, .. } = &diagnosis;
            fragment(rows, facts, target, form.into())
        }
        None if args.json => json::object(&diagnosis),
        None => {
            let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            text::page(&diagnosis, colour)
        }
    };
    let ended = exit::printing(&printed);
    if ended == ExitCode::from(exit::CLEAN) { diagnosis.exit_code() } else { ended }
}

impl Args {
    fn target(&self, effective: Effective) -> Target {
        let is_set = |name: &str| {
            let key = towline_config::Key::find(name);
            key.is_some_and(|key| effective.origin(key) != "built-in")
        };
        let settings = &effective.settings;
        let configured = match settings.server.processes {
            towline_config::Processes::Auto => ProcessCount::Auto,
            towline_config::Processes::Exactly(count) if is_set("server.processes") => {
                ProcessCount::Exactly(count.get().into())
            }
            // The built-in default of one process was not asked for.
            _ => ProcessCount::Unspecified,
        };
        let limit = settings.limits.connections.map(|limit| u64::from(limit.get()));
        let connections = self.connections.or(limit).unwrap_or(CONNECTIONS);
        let mut target = Target::new(connections, self.side.into(), effective.settings);
        target.processes = self.processes.unwrap_or(configured);
        target.burst = self.burst.unwrap_or(target.burst);
        target.active_percent = self.active;
        target.lines_per_second = self.lines.unwrap_or(connections * self.active / 100);
        target.sources = self.sources;
        target.tls |= self.tls;
        target.targets = self.targets;
        target
    }
}

impl Diagnosis {
    fn of(facts: Facts, target: Target) -> Self {
        let mut rows = rows(&facts, &target);
        // Worst first; within a verdict, the order of the table.
        rows.sort_by_key(|row| std::cmp::Reverse(row.verdict));
        let prediction = prediction(&facts, &target);
        Self { facts, target, rows, prediction }
    }

    /// Yes or no, and what it depends on.
    fn answer(&self) -> String {
        let Self { target, rows, prediction, .. } = self;
        let connections = grouped(target.connections);
        let failing = rows.iter().filter(|row| row.verdict == Verdict::Fail).count();
        let changes = if failing == 1 { "1 change" } else { "changes" };
        let too_few = prediction.largest.is_some_and(|largest| largest < target.connections);
        match failing {
            0 if too_few => format!("No: this host cannot hold {connections} connections."),
            0 => {
                let warnings = rows.iter().filter(|row| row.verdict == Verdict::Warn).count();
                let advice = if warnings == 0 { "" } else { "; see the warnings below" };
                format!("Yes: this host can hold {connections} connections{advice}.")
            }
            _ if !too_few && prediction.processes > 1 && self.only_descriptors_fail() => format!(
                "Not with one process: {connections} connections need --processes {}, or a higher \
                 descriptor limit.",
                prediction.processes
            ),
            count => format!(
                "No: {connections} connections need {}{changes} (marked FAIL below).",
                if count == 1 { String::new() } else { format!("{count} ") }
            ),
        }
    }

    fn only_descriptors_fail(&self) -> bool {
        let mut failing = self.rows.iter().filter(|row| row.verdict == Verdict::Fail);
        failing.all(|row| matches!(row.fix, Some(Fix::Descriptors { processes: 1.., .. })))
    }

    fn worst(&self) -> Verdict {
        self.rows.iter().map(|row| row.verdict).max().unwrap_or(Verdict::Ok)
    }

    fn exit_code(&self) -> ExitCode {
        let fails = self.worst() == Verdict::Fail;
        ExitCode::from(if fails { exit::FAILED } else { exit::CLEAN })
    }
}

impl From<SideName> for Side {
    fn from(name: SideName) -> Self {
        match name {
            SideName::Server => Self::Server,
            SideName::Load => Self::Load,
            SideName::Both => Self::Both,
            SideName::Proxy => Self::Proxy,
        }
    }
}

impl From<FormName> for Form {
    fn from(name: FormName) -> Self {
        match name {
            FormName::Sysctl => Self::Sysctl,
            FormName::Systemd => Self::Systemd,
            FormName::Compose => Self::Compose,
            FormName::Kubernetes => Self::Kubernetes,
        }
    }
}

fn count(text: &str) -> Result<u64, String> {
    match flag_value::count(text)? {
        count @ 1..=CONNECTIONS_MAX => Ok(count),
        _ => Err(format!(
            "`{text}` is out of bounds: expected a number from 1 to {}m",
            CONNECTIONS_MAX / 1_000_000
        )),
    }
}

/// Reads a number of processes, or `auto`.
pub(crate) fn processes(text: &str) -> Result<ProcessCount, LoadError> {
    if text == "auto" {
        return Ok(ProcessCount::Auto);
    }
    let count = text.parse().ok().filter(|count| (1..=PROCESSES_MAX).contains(count));
    count.map(ProcessCount::Exactly).ok_or_else(|| {
        LoadError::usage(format!(
            "`{text}` is not a number of processes: expected 1 to {PROCESSES_MAX}, or auto"
        ))
    })
}
