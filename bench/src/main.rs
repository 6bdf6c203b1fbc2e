//! Side-by-side benchmarks: towline against servers that do less.
//!
//! Absolute figures depend on the machine and the day. So every figure that matters is a ratio of lines
//! per server-CPU-second between two servers that took turns under the same load in the same run.
//! README.md lists the commands; docs/BENCHMARKS.md has the method and explains the tables.
#![expect(clippy::print_stdout, reason = "printing a report to standard output is its purpose")]

mod admin;
mod c_programs;
mod chat;
mod child;
mod cli;
mod client;
mod clock;
mod fanout;
mod faults;
mod figure;
mod foreign;
mod generator;
mod implementation;
mod instructions;
mod kernel;
mod launcher;
mod listing;
mod metrics;
mod observed_server;
mod periodic;
mod ratio;
mod reference;
mod report;
mod scenario;
mod scrape;
mod select;
mod sha;
mod spread;
mod stats;
mod tls;
mod towline_load;
mod wire;

use std::process::ExitCode;

use clap::Parser;

/// The allocator of the towline binary: a reference must not lose by its allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A sentence: this program has no caller that would match on a type.
type Error = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("towline-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
