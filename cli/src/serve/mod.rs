//! `towline serve`: loads the settings and serves until a signal.

mod host_check;
mod run;

use std::process::ExitCode;

use towline::{Outcome, Settings, internal::reload::ConfigSource};
use towline_config::{Effective, Errors};

use crate::{exit, flags::SettingFlags, logging, signals, worker};

/// Serve lines.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingFlags,
}

/// Loads the settings again from the sources of the start, and applies the level of the log.
struct ReloadSource {
    settings: SettingFlags,
    level: logging::Level,
}

impl ConfigSource for ReloadSource {
    fn load(&self) -> Result<Effective, Errors> {
        self.settings.load()
    }

    fn applied(&self, settings: &Settings) {
        self.level.set(settings.log.level);
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    let effective = match args.settings.load() {
        Ok(effective) => effective,
        Err(errors) => return exit::with_configuration(&errors),
    };
    signals::ignore_for_server();
    let (level, log) = match logging::start(effective.settings.log) {
        Ok(log) => log,
        Err(error) => return exit::with(exit::FAILED, error),
    };
    tracing::info!(
        version = %env!("CARGO_PKG_VERSION"),
        pid = std::process::id(),
        profile = args.settings.profile().map(tracing::field::display),
        config = args.settings.file().map(|file| tracing::field::display(file.display())),
        "starting"
    );
    for warning in args.settings.warnings() {
        tracing::warn!("{warning}");
    }
    let source = ReloadSource { settings: args.settings.clone(), level };
    let (code, sentence) = match run::run(&effective, source, worker::command()) {
        Ok(Outcome::Clean) => return ExitCode::from(exit::CLEAN),
        Ok(outcome) => {
            let cut = connections_were(outcome.connections_cut());
            (exit::FAILED, format!("{cut} cut before it was finished"))
        }
        Err(error) if error.is_usage() => (exit::USAGE, error.to_string()),
        Err(error) => (exit::FAILED, error.to_string()),
    };
    if log.flush() {
        exit::with(code, sentence)
    } else {
        // The reader of standard error has stopped: to write there would block for ever.
        ExitCode::from(code)
    }
}

fn connections_were(connections: u64) -> String {
    match connections {
        1 => "1 connection was".to_owned(),
        _ => format!("{connections} connections were"),
    }
}
