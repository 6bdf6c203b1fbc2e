//! `towline worker`: a worker process of `towline serve --processes`.

use std::process::ExitCode;

use towline_supervisor::{Worker, WorkerCommand};

use crate::{exit, logging, signals};

/// The name of the command. It is hidden: only the supervisor starts it.
pub(crate) const NAME: &str = "worker";

/// The arguments that the supervisor passes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The worker's number, which only shows in lists of processes
    #[arg(value_name = "NUMBER")]
    _number: Option<u32>,
}

pub(crate) fn run() -> ExitCode {
    signals::ignore_for_worker();
    // The process would be listed as `exe`; an error does not matter.
    let _ = std::fs::write("/proc/self/comm", "towline-worker");
    let worker = match Worker::receive() {
        Ok(worker) => worker,
        Err(error) if error.is_usage() => return exit::with(exit::USAGE, error),
        Err(error) => return exit::with(exit::FAILED, error),
    };
    let (level, _log) = match logging::start(worker.settings().log) {
        Ok(log) => log,
        Err(error) => {
            // The supervisor says it.
            worker.refuse(&error.to_string());
            return ExitCode::from(exit::FAILED);
        }
    };
    match worker.serve(move |settings| level.set(settings.log.level)) {
        // The supervisor reports the connections that all workers cut.
        Ok(_) => ExitCode::from(exit::CLEAN),
        Err(error) => {
            // The supervisor logs it too; here it follows the other lines of this process.
            tracing::error!("{error}");
            ExitCode::from(exit::FAILED)
        }
    }
}

/// Starts this program as a worker. `/proc/self/exe` is the running program even if its file has been
/// replaced since: supervisor and workers must be of one version.
pub(crate) fn command() -> WorkerCommand {
    WorkerCommand { program: "/proc/self/exe".into(), arguments: vec![NAME.into()] }
}
