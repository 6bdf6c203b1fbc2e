//! `towline doctor`: will this host hold it, what ends it first, and what to do.

mod json;
mod text;

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use clap::ValueEnum;
use towline_config::Effective;
use towline_doctor::{
    Facts, Form, Prediction, Processes, Row, Side, Target, Verdict, fragment, prediction, rows,
};
use towline_load::LoadError;

use crate::{exit, flag_value, flags::LayerFlags, help};

/// What is asked about when nobody says: the smaller of the article's two figures.
const CONNECTIONS: u64 = 10_000;
/// The most that is computed with; no host comes near.
const CONNECTIONS_MAX: u64 = 1_000_000_000;
/// As many as `server.processes` takes.
const PROCESSES_MAX: u64 = 1024;

/// Check limits and kernel knobs for a number of connections, and name what ends it first.
#[derive(Debug, clap::Args)]
#[command(after_help = help::DOCTOR)]
pub(crate) struct Args {
    /// Open connections to check for [default: limits.connections, or 10k where it is auto]
    #[arg(short, long, value_name = "N", value_parser = count)]
    connections: Option<u64>,
    /// New connections a second at the peak [default: all of them within ten seconds]
    #[arg(long, value_name = "N", value_parser = count)]
    burst: Option<u64>,
    /// Processes they are spread over: a number, or auto for as many as descriptors need
    /// [default: server.processes]
    #[arg(long, value_name = "N|auto", value_parser = processes)]
    processes: Option<Processes>,
    /// Who holds them here; both is server and load generator on this host
    #[arg(long, value_enum, default_value = "server")]
    side: SideName,
    /// Connections that are busy at a time, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(0..=100))]
    active: u64,
    /// Lines a second over all connections [default: one on each busy connection]
    #[arg(long, value_name = "N", value_parser = count)]
    lines: Option<u64>,
    /// Source addresses of outgoing connections [default: 1; with both, all of the loopback's]
    #[arg(long, value_name = "N", value_parser = count)]
    sources: Option<u64>,
    /// Addresses and ports that outgoing connections lead to
    #[arg(long, value_name = "N", value_parser = count, default_value = "1")]
    targets: u64,
    /// Print only the fix, as a fragment of such a file
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

/// All that is printed, in one form or another.
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
    let diagnosis = Diagnosis::of(Facts::read(), args.target(effective));
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
        let said = |name: &str| {
            let key = towline_config::Key::find(name);
            key.is_some_and(|key| effective.origin(key) != "built-in")
        };
        let settings = &effective.settings;
        let configured = match settings.server.processes {
            towline_config::Processes::Auto => Processes::Auto,
            towline_config::Processes::Exactly(count) if said("server.processes") => {
                Processes::Exactly(count.get().into())
            }
            // The built-in single process is nobody's wish.
            _ => Processes::Unsaid,
        };
        let limit = settings.limits.connections.map(|limit| u64::from(limit.get()));
        let connections = self.connections.or(limit).unwrap_or(CONNECTIONS);
        let mut target = Target::new(connections, self.side.into(), effective.settings);
        target.processes = self.processes.unwrap_or(configured);
        target.burst = self.burst.unwrap_or(target.burst);
        target.active_percent = self.active;
        target.lines_per_second = self.lines.unwrap_or(connections * self.active / 100);
        target.sources = self.sources;
        target.targets = self.targets;
        target
    }
}

impl Diagnosis {
    fn of(facts: Facts, target: Target) -> Self {
        let mut rows = rows(&facts, &target);
        // The worst first; within a verdict, the order of the table.
        rows.sort_by_key(|row| std::cmp::Reverse(row.verdict));
        let prediction = prediction(&facts, &target);
        Self { facts, target, rows, prediction }
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
pub(crate) fn processes(text: &str) -> Result<Processes, LoadError> {
    if text == "auto" {
        return Ok(Processes::Auto);
    }
    let count = text.parse().ok().filter(|count| (1..=PROCESSES_MAX).contains(count));
    count.map(Processes::Exactly).ok_or_else(|| {
        LoadError::usage(format!(
            "`{text}` is no number of processes: expected 1 to {PROCESSES_MAX}, or auto"
        ))
    })
}
