//! `towline config`: what a server would run with, and where each value came from.

use std::process::ExitCode;

use crate::{exit, flags::SettingFlags, help};

/// Print the effective configuration.
#[derive(Debug, clap::Args)]
#[command(after_help = help::PRECEDENCE)]
pub(crate) struct Args {
    /// Only validate: print nothing but mistakes, and exit with 0 or 2
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    settings: SettingFlags,
}

pub(crate) fn run(args: &Args) -> ExitCode {
    for warning in args.settings.warnings() {
        exit::warn(warning);
    }
    match args.settings.load() {
        Err(errors) => exit::with_configuration(&errors),
        Ok(_) if args.check => ExitCode::from(exit::CLEAN),
        Ok(effective) => exit::printing(&effective.to_toml()),
    }
}
