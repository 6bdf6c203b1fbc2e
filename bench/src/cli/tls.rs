//! `towline-bench tls`: its flags, and the report that it prints.

use std::{fs, path::PathBuf, time::Duration};

use super::{LaunchFlags, time};
use crate::{
    Error,
    generator::Timing,
    implementation::Implementation,
    kernel,
    ratio::Plan,
    reference,
    report::{self, Wording},
    select::select,
    spread,
    tls::{self, SCENARIOS},
};

#[derive(Debug, clap::Args)]
pub(super) struct Tls {
    #[command(flatten)]
    launch: LaunchFlags,
    /// Turns of each server; the medians of fewer than nine are no figures of record
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Time measured in a turn, after a warm-up of a third of it
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    seconds: Duration,
    /// Only the scenario of this name, or those whose names begin with it; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Another towline binary that takes turns with the first, for what a change costs
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// Prints only the tables of docs/BENCHMARKS.md
    #[arg(long)]
    markdown: bool,
    /// Writes every measurement of the servers that take turns to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Tls {
    pub(super) fn run(self) -> Result<(), Error> {
        reference::raise_descriptor_limit()?;
        let run = self.seconds;
        let warm = (run / 3).clamp(Duration::from_millis(200), Duration::from_secs(2));
        let (subject, timing) = (Implementation::Towline, Timing { warm, run });
        let plan = Plan { subject, rounds: self.rounds, timing, all: false };
        let scenarios = select(&SCENARIOS, |scenario| scenario.name, &self.only)?;
        let mut launcher = self.launch.launcher()?;
        launcher.baseline = self.baseline;
        let tls::Results { outcomes, findings } = tls::measure(&launcher, &scenarios, plan)?;

        let host = kernel::host();
        let rows = report::evaluate(&outcomes, subject);
        println!("{host}\n");
        if !outcomes.is_empty() {
            let wording = if self.markdown { Wording::Document } else { Wording::Terminal };
            println!("{}", report::demands(&rows, wording));
            if !self.markdown {
                println!("{}", report::figures(&outcomes));
            }
            println!("{}", spread::within_run(&outcomes, subject));
            let voids = report::voids(&outcomes);
            if !voids.is_empty() {
                println!("Void rounds, with the reason:\n{voids}");
            }
        }
        if outcomes.len() < scenarios.len() {
            println!("{findings}");
        }
        if let Some(path) = self.json {
            fs::write(&path, report::json(&host, &outcomes, &rows)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        match findings.missed() {
            0 => Ok(()),
            missed => Err(format!("{missed} of the bounds were missed").into()),
        }
    }
}
