//! `towline bench capacity`: how many connections this host holds, found by making them.
//!
//! A server with its default settings, in as many processes as the descriptor limit requires; a
//! generator that makes the connections at a steady rate, holds them while each sends a line at an
//! interval, and compares the replies. The result is compared with `towline doctor`'s prediction.

mod assess;
mod measure;
mod result;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use towline_doctor::ProcessCount;
use towline_load::{LoadError, SourceAddrs, interrupt_on_signals};

use super::Output;
use super::table::Width;
use crate::{exit, flag_value};

/// Find out how many connections this host holds at both ends, and compare with doctor's prediction.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Connections to reach
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "100k")]
    connections: u32,
    /// Connects per second
    #[arg(long, value_name = "RATE", value_parser = flag_value::rate, default_value = "20k")]
    connect_rate: f64,
    /// How long one connect may take
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    connect_timeout: Duration,
    /// How long the connections are held once all are made
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "60s")]
    hold: Duration,
    /// Interval at which each connection sends a line while it is held
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "60s")]
    every: Duration,
    /// Highest 99th percentile of the reply latency that passes
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "1s")]
    p99: Duration,
    /// Server processes: a number, or auto for as many as descriptors need
    #[arg(long, value_name = "N|auto", value_parser = crate::doctor::processes, default_value = "auto")]
    processes: ProcessCount,
    /// Source addresses: auto takes as many of 127.0.0.0/8 as the ports make necessary
    #[arg(long, value_name = "auto|CIDR,…", value_parser = SourceAddrs::parse, default_value = "auto")]
    sources: SourceAddrs,
    /// A flag added to the server's own, such as --server-flag=--heartbeat=5s (repeatable)
    #[arg(long = "server-flag", value_name = "FLAG")]
    server_flags: Vec<String>,
    /// Write the result as JSON; - is standard output
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Print no progress while it runs
    #[arg(long, short)]
    quiet: bool,
}

const AFTER: &str = "\
Both ends run on this host, over the loopback: a connection takes two sockets, two descriptors and the
memory of both. The server has its default settings, heartbeats and deadlines included.

Exit codes: 0 all connections were held and every line was answered in time; 1 a connection or a line was
lost, a reply was late, or nothing could be run; 2 a flag is wrong; 3 this host holds fewer connections
than requested.";

pub(crate) fn run(args: &Args) -> ExitCode {
    measured(args).unwrap_or_else(|error| exit::with(error.exit_code(), error))
}

fn measured(args: &Args) -> Result<ExitCode, LoadError> {
    let output = Output::open(args.json.as_deref())?;
    let interrupt = interrupt_on_signals()?;
    let result = measure::capacity(args, &interrupt)?;
    output.write(&result.text(Width::of_stdout()), serde_json::to_string_pretty(&result))?;
    Ok(ExitCode::from(result.outcome.exit_code()))
}

fn connections(text: &str) -> Result<u32, String> {
    match flag_value::count_u32(text)? {
        0 => Err("`0` is out of bounds: expected 1 to 4,294,967,295".to_owned()),
        count => Ok(count),
    }
}
