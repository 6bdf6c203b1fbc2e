//! `towline-bench ratio`: its flags, and the report that it prints.

use std::{fs, path::PathBuf, time::Duration};

use super::{LaunchFlags, time};
use crate::{
    Error,
    generator::Timing,
    implementation::Implementation,
    kernel,
    launcher::Launcher,
    ratio::{self, Plan},
    report::{self, Wording},
    scenario::{SCENARIOS, Scenario},
    select::select,
    spread,
};

#[derive(Debug, clap::Args)]
pub(super) struct Ratio {
    #[command(flatten)]
    launch: LaunchFlags,
    /// Turns of each implementation; the medians of fewer than nine are no figures of record
    #[arg(long, default_value_t = 9, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Time measured in a turn, after a warm-up of a third of it
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "1s")]
    seconds: Duration,
    /// Only the scenario of this name, or those whose names begin with it; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Another towline binary that takes turns with the first, for what a change costs; the same
    /// binary, for how far two runs differ
    #[arg(long, value_name = "PATH")]
    baseline: Option<PathBuf>,
    /// The implementation that is compared with the references
    #[arg(long, value_enum, default_value_t = Implementation::Towline)]
    subject: Implementation,
    /// Also the scenarios that are not measured by default, and the references without bounds
    #[arg(long)]
    all: bool,
    /// Prints only the table of docs/BENCHMARKS.md
    #[arg(long)]
    markdown: bool,
    /// Writes every measurement to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

impl Ratio {
    pub(super) fn run(self) -> Result<(), Error> {
        let run = self.seconds;
        let warm = (run / 3).clamp(Duration::from_millis(200), Duration::from_secs(2));
        let timing = Timing { warm, run };
        let plan = Plan { subject: self.subject, rounds: self.rounds, timing, all: self.all };
        let is_chosen =
            |scenario: &Scenario| scenario.is_default || self.all || !self.only.is_empty();
        let mut scenarios = select(&SCENARIOS, |scenario| scenario.name, &self.only)?;
        scenarios.retain(|scenario| is_chosen(scenario));
        let launcher = Launcher { baseline: self.baseline, ..self.launch.launcher()? };
        let is_same_build = launcher.baseline_is_the_same_build();
        let whole: Duration =
            scenarios.iter().map(|scenario| ratio::time_of(&launcher, scenario, plan)).sum();
        eprintln!("{} scenarios, about {} minutes", scenarios.len(), whole.as_secs().div_ceil(60));
        let outcomes: Vec<_> = scenarios
            .into_iter()
            .map(|scenario| ratio::measure(&launcher, scenario, plan))
            .collect();

        let rows = report::evaluate(&outcomes, plan.subject);
        let host = kernel::host();
        let wording = if self.markdown { Wording::Document } else { Wording::Terminal };
        println!("{host}\n\n{}", report::demands(&rows, wording));
        if is_same_build {
            println!("{}", spread::between_runs(&outcomes, plan.subject));
        }
        if !self.markdown {
            println!("{}", report::figures(&outcomes));
        }
        println!("{}{}", spread::within_run(&outcomes, plan.subject), spread::regimes(&outcomes));
        let voids = report::voids(&outcomes);
        if !voids.is_empty() {
            println!("Void rounds, with the reason:\n{voids}");
        }
        if let Some(path) = self.json {
            fs::write(&path, report::json(&host, &outcomes, &rows)?)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(())
    }
}
