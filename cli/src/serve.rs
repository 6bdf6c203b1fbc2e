//! `towline serve`: settings in, a running server until a signal ends it.

use std::process::ExitCode;

use towline::{Outcome, Settings, Source};
use towline_config::{Effective, Errors};

use crate::{exit, flags::SettingFlags, help, logging};

/// Serve lines.
#[derive(Debug, clap::Args)]
#[command(after_long_help = help::SERVE)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

/// The sources the server was started with, and the log it writes.
struct Again {
    settings: SettingFlags,
    log: logging::Level,
}

impl Source for Again {
    fn load(&self) -> Result<Effective, Errors> {
        self.settings.load()
    }

    fn applied(&self, settings: &Settings) {
        self.log.set(settings.log.level);
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let effective = match args.settings.load() {
        Ok(effective) => effective,
        Err(errors) => return exit::with_configuration(&errors),
    };
    let log = match logging::start(effective.settings.log) {
        Ok(log) => log,
        Err(error) => return exit::with(exit::FAILED, error),
    };
    let again = Again { settings: args.settings.clone(), log };
    match towline::run(&effective, again) {
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
