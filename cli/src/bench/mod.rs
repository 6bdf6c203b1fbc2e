//! `towline bench`: what this host can do, measured.

mod article;
mod capacity;
mod host;
mod sampler;
mod scrape;
mod server;
mod server_counters;

use std::process::ExitCode;

use clap::Subcommand;

/// Measure what this host can do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Reproduce the article's four columns on this host, and name what stopped each
    Article(article::Args),
    /// Find out how many connections this host holds
    Capacity(capacity::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.bench {
        Bench::Article(args) => article::run(args),
        Bench::Capacity(args) => capacity::run(args),
    }
}
