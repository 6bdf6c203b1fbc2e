//! `towline serve`: settings in, a running server until a signal ends it.

use std::process::ExitCode;

use towline::{Outcome, RunError};

use crate::{exit, flags::SettingFlags, help, logging, worker};

/// Serve lines.
#[derive(Debug, clap::Args)]
#[command(after_long_help = help::SERVE)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let effective = match args.settings.load() {
        Ok(effective) => effective,
        Err(errors) => return exit::with_configuration(&errors),
    };
    if let Err(error) = logging::start(effective.settings.log) {
        return exit::with(exit::FAILED, error);
    }
    match towline::run(&effective, worker::command()) {
        Ok(Outcome::Clean) => ExitCode::from(exit::CLEAN),
        Ok(Outcome::Cut(connections)) => exit::with(
            exit::FAILED,
            format_args!("{} cut before it was finished", count(connections)),
        ),
        Err(error) => with_error(&error),
    }
}

/// Tells why the server could not start or go on.
pub(crate) fn with_error(error: &RunError) -> ExitCode {
    exit::with(if error.is_usage() { exit::USAGE } else { exit::FAILED }, error)
}

fn count(connections: u64) -> String {
    match connections {
        1 => "1 connection was".to_owned(),
        _ => format!("{connections} connections were"),
    }
}
