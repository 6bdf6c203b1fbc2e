//! `towline bench`: what this host can do, measured.

use std::process::ExitCode;

use clap::Subcommand;

use crate::bench_article;

/// Measure what this host can do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Reproduce the article's four columns on this host, and name what stopped each
    Article(bench_article::Args),
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match &args.bench {
        Bench::Article(args) => bench_article::run(args),
    }
}
