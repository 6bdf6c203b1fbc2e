//! The `towline` binary: flags → configuration → run → exit code.
//!
//! One file per command, each with its `Args` and a `run(args) -> ExitCode`. A new command is a
//! file, a variant of [`Command`] and an arm in [`main`]; what the commands share is in `exit`
//! (codes and how errors are told), `flags` (server settings as flags) and `usage` (clap's errors
//! as one sentence).

mod bench;
mod config;
mod doctor;
mod exit;
mod flag_value;
mod flags;
mod health;
mod help;
mod http;
mod load;
mod logging;
mod serve;
mod usage;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// 420 against 900 bytes of resident memory an idle connection, for the same code.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serve raw TCP lines through a Tower stack, and watch it do so.
#[derive(Debug, Parser)]
#[command(
    name = "towline",
    version,
    about = help::ABOUT,
    after_help = help::EXAMPLES,
    after_long_help = help::EXAMPLES_AND_MORE,
    override_usage = "towline [FLAGS OF SERVE]\n       towline <COMMAND>",
    args_conflicts_with_subcommands = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Without a command, `towline` serves.
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve lines; what `towline` alone does
    Serve(serve::Args),
    /// Load a line server and tell what came back
    Load(Box<load::Args>),
    /// Measure what this host can do
    Bench(bench::Args),
    /// Check limits and kernel knobs for a number of connections
    Doctor(doctor::Args),
    /// Print the effective configuration and where each value came from
    Config(config::Args),
    /// Ask a running server whether it is healthy
    Health(health::Args),
    /// One of several processes that serve; started by `serve`, which speaks to it
    #[command(name = worker::NAME, hide = true)]
    Worker(worker::Args),
}

fn main() -> ExitCode {
    // The flags of `serve` work without the word too; listed here they would bury the commands.
    let is_setting = |arg: &clap::Arg| arg.get_help_heading().is_some();
    let command =
        Cli::command().mut_args(|arg| if is_setting(&arg) { arg.hide(true) } else { arg });
    let cli = command.try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => return usage::tell(&error),
    };
    match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Load(args)) => load::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Health(args)) => health::run(&args),
        Some(Command::Worker(_)) => worker::run(),
    }
}
