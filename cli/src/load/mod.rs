//! `towline load`: flags → plan → run → report → exit code.

mod args;
mod merge;
mod output;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

pub(crate) use args::Args;
use args::LoadCommand;
use output::Output;
pub(crate) use output::Sink;
use towline_load::{
    Assertion, LoadError, Plan, Progress, Report, RunOptions, WorkerProgram, interrupt_on_signals,
    serve_as_worker,
};

use crate::exit;

/// The hidden flag by which a run starts its worker processes.
const WORKER: &str = "--worker-process";

pub(crate) fn run(args: &Args) -> ExitCode {
    let ended = match &args.command {
        Some(LoadCommand::Merge(merge)) => merge::run(merge),
        None if args.worker_process => serve_as_worker().map(|()| ExitCode::from(exit::CLEAN)),
        None => load(args),
    };
    ended.unwrap_or_else(|error| exit::with(error.exit_code(), error))
}

fn load(args: &Args) -> Result<ExitCode, LoadError> {
    let plan = args.plan()?;
    plan.check()?;
    let output = Output::open(&args.report)?;
    let options = RunOptions {
        worker: worker_command(),
        interrupt: interrupt_on_signals()?,
        progress: if args.quiet { Progress::Quiet } else { Progress::Auto },
    };
    announce(args, &plan);
    match towline_load::run(&plan, &options) {
        Ok(report) => tell(&report, output, &args.report.assertions),
        Err(error) => {
            output.abandon();
            Err(error)
        }
    }
}

/// Prints and writes the report; the exit code is its verdict.
fn tell(report: &Report, output: Output, assertions: &[Assertion]) -> Result<ExitCode, LoadError> {
    output.write(report)?;
    let (verdict, against) = report.verdict(assertions);
    for sentence in against {
        exit::with(verdict.exit_code(), sentence);
    }
    Ok(ExitCode::from(verdict.exit_code()))
}

/// This very program, as a worker.
fn worker_command() -> Option<WorkerProgram> {
    let program = env::current_exe().ok()?;
    Some(WorkerProgram { program, arguments: worker_arguments() })
}

/// What makes this program a worker.
pub(crate) fn worker_arguments() -> Vec<OsString> {
    vec!["load".into(), WORKER.into()]
}

fn announce(args: &Args, plan: &Plan) {
    if !args.quiet && io::stderr().is_terminal() {
        let (mode, connections) = (plan.mode.name(), plan.connections);
        // A greeting nobody can read is not worth failing for.
        let _ = io::Write::write_fmt(
            &mut io::stderr(),
            format_args!(
                "{mode} at {} over {connections} connections for {:?}\n",
                plan.target_names(),
                plan.duration
            ),
        );
    }
}
