//! `towline load`: flags → plan → run → report → exit code.

mod args;
mod fanout_flags;
mod help;
mod merge;
mod output;
mod report_flags;
mod tls_flags;

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

pub(crate) use args::Args;
use args::LoadCommand;
use output::Output;
pub(crate) use output::Sink;
use towline_load::{
    LoadError, Plan, Progress, RunOptions, WorkerProgram, interrupt_on_signals, serve_as_worker,
};

use crate::exit;

/// The hidden flag of worker processes.
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
    plan.warnings().iter().for_each(exit::warn);
    announce(args, &plan);
    match towline_load::run(&plan, &options) {
        Ok(report) => output.conclude(&report, &args.report.assertions),
        Err(error) => {
            output.abandon();
            Err(error)
        }
    }
}

/// This program as a worker process.
fn worker_command() -> Option<WorkerProgram> {
    let program = env::current_exe().ok()?;
    Some(WorkerProgram { program, arguments: worker_arguments() })
}

/// The arguments that make this program a worker process.
pub(crate) fn worker_arguments() -> Vec<OsString> {
    vec!["load".into(), WORKER.into()]
}

/// Says on a terminal what is about to happen.
fn announce(args: &Args, plan: &Plan) {
    if !args.quiet && io::stderr().is_terminal() {
        let (mode, connections) = (plan.mode.name(), plan.connections);
        // The run goes on if standard error is closed.
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
