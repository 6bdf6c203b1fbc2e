//! `towline worker`: one of several processes that serve, started by `towline serve` among them.

use std::process::ExitCode;

use towline_supervisor::{Worker, WorkerCommand};

use crate::{exit, logging};

/// Not for people, so it is in no list of commands.
pub(crate) const NAME: &str = "worker";

/// What the supervisor starts it with.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which of them it is; shown where processes are listed, and of no other use
    #[arg(value_name = "NUMBER")]
    _number: Option<u32>,
}

pub(crate) fn run() -> ExitCode {
    // It would be listed as `exe` otherwise, which is not worth failing for.
    let _ = std::fs::write("/proc/self/comm", "towline-worker");
    let worker = match Worker::receive() {
        Ok(worker) => worker,
        Err(error) if error.is_usage() => return exit::with(exit::USAGE, error),
        Err(error) => return exit::with(exit::FAILED, error),
    };
    let (level, _log) = match logging::start(worker.settings().log) {
        Ok(log) => log,
        Err(error) => return exit::with(exit::FAILED, error),
    };
    match worker.serve(move |settings| level.set(settings.log.level)) {
        // The supervisor tells how many connections were cut, of all workers.
        Ok(_) => ExitCode::from(exit::CLEAN),
        Err(error) => {
            // The supervisor says it too; here it stands beside what was logged before.
            tracing::error!("{error}");
            ExitCode::from(exit::FAILED)
        }
    }
}

/// This very program, as a worker. By this name Linux finds the file that runs now even when another
/// was put in its place since: a supervisor and its workers must be of one version.
pub(crate) fn command() -> WorkerCommand {
    WorkerCommand { program: "/proc/self/exe".into(), arguments: vec![NAME.into()] }
}
