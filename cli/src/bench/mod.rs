//! `towline bench`: measurements of this host.
//!
//! Both benchmarks start servers (`server.rs`), load them while both ends and the host are sampled
//! (`run.rs`, `sampler.rs`), and print a table that fits the terminal (`table.rs`).

mod article;
mod capacity;
mod format;
mod host;
mod process;
mod run;
mod sampler;
mod server;
mod server_counters;
mod table;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::{Args as _, Subcommand};
use towline_load::LoadError;

use crate::exit;
use crate::load::Sink;

/// Measure what this host can do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Option<Bench>,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Reproduce an article's benchmark table on this host, and name what limited each column
    Article(article::Args),
    /// Find out how many connections this host holds
    Capacity(capacity::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.bench {
        Some(Bench::Article(args)) => article::run(args),
        Some(Bench::Capacity(args)) => capacity::run(args),
        None => without_benchmark(),
    }
}

fn without_benchmark() -> ExitCode {
    let mut command = Args::augment_args(clap::Command::new("towline bench"))
        .disable_help_subcommand(true)
        .override_usage("towline bench <COMMAND>");
    // A closed standard error leaves the exit code.
    let _ = writeln!(io::stderr(), "{}", command.render_help());
    exit::with(exit::USAGE, "bench needs a command: article or capacity")
}

/// Writes what is going on to standard error, unless `quiet`.
fn say(quiet: bool, sentence: &str) {
    if !quiet {
        let mut err = io::stderr();
        let clear = if err.is_terminal() { "\r\x1b[K" } else { "" };
        // A closed standard error does not end a run.
        let _ = writeln!(err, "{clear}{sentence}");
    }
}

/// Where a result goes: text on standard output unless the JSON goes there.
#[derive(Debug)]
struct Output {
    json: Option<Sink>,
}

impl Output {
    /// Opens the file before the run, so that one that cannot be written is an error at once.
    fn open(json: Option<&Path>) -> Result<Self, LoadError> {
        Ok(Self { json: json.map(Sink::open).transpose()? })
    }

    /// Writes the text and the JSON text, which may have failed to be made.
    fn write(self, text: &str, json: serde_json::Result<String>) -> Result<(), LoadError> {
        if !self.json.as_ref().is_some_and(Sink::is_standard) {
            Sink::Standard.write(text.as_bytes())?;
        }
        if let Some(sink) = self.json {
            let json = json.map_err(|e| {
                LoadError::failed(format!("the result cannot be written as JSON: {e}"))
            })?;
            sink.write(format!("{json}\n").as_bytes())?;
        }
        Ok(())
    }
}
