//! `towline serve`: settings in, a running server until a signal ends it.

use std::process::ExitCode;

use towline::Outcome;

use crate::{exit, flags::SettingFlags, help, logging};

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
    match towline::run(&effective) {
        Ok(Outcome::Clean) => ExitCode::from(exit::CLEAN),
        Ok(Outcome::Cut(connections)) => exit::with(
            exit::FAILED,
            format_args!("{} cut before it was finished", count(connections)),
        ),
        Err(error) if error.is_usage() => exit::with(exit::USAGE, error),
        Err(error) => exit::with(exit::FAILED, error),
    }
}

fn count(connections: u64) -> String {
    match connections {
        1 => "1 connection was".to_owned(),
        _ => format!("{connections} connections were"),
    }
}
