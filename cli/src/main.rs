//! The `towline` binary: flags → configuration → run → exit code.
//!
//! One module per command, each with its `Args` and a `run(args) -> ExitCode`. A new command is a
//! module, a variant of [`Command`] and an arm in [`main`]. The commands share `exit` (exit codes and
//! error output), `flags` (settings as flags) and `usage` (errors of the command line as sentences).

#[cfg(not(target_os = "linux"))]
compile_error!("towline needs Linux 5.11 or later");

mod bench;
mod config;
mod ctl;
mod doctor;
mod exit;
mod flag_value;
mod flags;
mod health;
mod help;
mod http;
mod load;
mod logging;
mod manual;
mod serve;
mod signals;
mod top;
mod usage;
mod worker;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// mimalloc, because an idle connection then takes 420 bytes of resident memory instead of 900.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Debug, Parser)]
#[command(
    name = "towline",
    version,
    about = help::ABOUT,
    after_help = help::EXAMPLES,
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
    #[command(after_long_help = help::SERVE)]
    Serve(serve::Args),
    /// Generate load on a line server, and measure and verify its replies
    Load(Box<load::Args>),
    /// Measure how much this host can serve
    Bench(bench::Args),
    /// Check the limits of this host for a number of connections
    Doctor(doctor::Args),
    /// Print the effective configuration and the source of each value
    Config(config::Args),
    /// Ask a running server whether it is healthy
    Health(health::Args),
    /// Show the connections of running servers in a terminal
    Top(top::Args),
    /// Change a running server: close connections, drain, set settings
    Ctl(ctl::Args),
    /// Write the manual pages of this program to a folder; packages have them
    #[command(hide = true)]
    Man(manual::ManArgs),
    /// Print a completion script for a shell; packages have them
    #[command(hide = true)]
    Completions(manual::CompletionArgs),
    /// A process that serves on behalf of a supervisor; `serve` starts it
    #[command(name = worker::NAME, hide = true)]
    Worker(worker::Args),
}

/// The command line, as clap parses it and as manual pages and completions show it.
fn command() -> clap::Command {
    // The flags of `serve` work without the word too; `help serve` lists them. Without their long
    // help, `--help` is as short as `-h`.
    let hide = |arg: clap::Arg| match arg.get_help_heading() {
        Some(_) => arg.hide(true).long_help(None::<&str>),
        None => arg,
    };
    Cli::command().mut_args(hide)
}

fn main() -> ExitCode {
    let cli = command().try_get_matches().and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match cli {
        Ok(cli) => cli,
        Err(error) => return usage::report(&error),
    };
    match cli.command {
        None => serve::run(&cli.serve),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Load(args)) => load::run(&args),
        Some(Command::Bench(args)) => bench::run(&args),
        Some(Command::Doctor(args)) => doctor::run(&args),
        Some(Command::Config(args)) => config::run(&args),
        Some(Command::Health(args)) => health::run(&args),
        Some(Command::Top(args)) => top::run(args),
        Some(Command::Ctl(args)) => ctl::run(&args),
        Some(Command::Man(args)) => manual::run(&args, command()),
        Some(Command::Completions(args)) => manual::complete(&args, &Cli::command()),
        Some(Command::Worker(_)) => worker::run(),
    }
}
