//! `towline bench capacity`: how many connections this host holds, found by making them.
//!
//! A server with everything on that is on by default, and as many processes as the descriptors need;
//! a generator that makes the connections at a steady rate, and then has each of them send a line now
//! and then and compares the answer. What was reached stands beside what `towline doctor` predicts.

mod assess;
mod measure;
mod result;
mod sampler;
mod text;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use towline_doctor::Processes;
use towline_load::{LoadError, SourceAddrs, interrupt_on_signals};

use crate::load::Sink;
use crate::{exit, flag_value};

/// Find out how many connections this host holds, both ends, and compare with doctor's prediction.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub(crate) struct Args {
    /// Connections to reach
    #[arg(short, long, value_name = "N", value_parser = connections, default_value = "100k")]
    connections: u32,
    /// Connects a second
    #[arg(long, value_name = "RATE", value_parser = flag_value::rate, default_value = "20k")]
    connect_rate: f64,
    /// How long one connect may take
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    connect_timeout: Duration,
    /// How long they are held once all are made
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "60s")]
    hold: Duration,
    /// How often each connection sends a line meanwhile
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "60s")]
    every: Duration,
    /// The 99th percentile of the answers' latency that passes
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "1s")]
    p99: Duration,
    /// Server processes: a number, or auto for as many as descriptors need
    #[arg(long, value_name = "N|auto", value_parser = crate::doctor::processes, default_value = "auto")]
    processes: Processes,
    /// Where connections come from: auto is as many of 127.0.0.0/8 as the ports make necessary
    #[arg(long, value_name = "auto|CIDR,…", value_parser = SourceAddrs::parse, default_value = "auto")]
    sources: SourceAddrs,
    /// A further flag for the server, such as --server-flag=--heartbeat=5s (repeatable)
    #[arg(long = "server-flag", value_name = "FLAG")]
    server_flags: Vec<String>,
    /// Write the result as JSON; - is standard output
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// No progress while it runs
    #[arg(long, short)]
    quiet: bool,
}

const AFTER: &str = "\
Both ends run here, over the loopback: a connection takes two sockets, two descriptors, and the memory
of both. The server has its defaults, heartbeats and deadlines included.

Exit codes: 0 all connections were held and every line was answered in time; 1 something was lost, cut
or late, or nothing could be run; 2 a flag is wrong; 3 this host holds fewer than were asked for.";

pub(crate) fn run(args: &Args) -> ExitCode {
    measured(args).unwrap_or_else(|error| exit::with(error.exit_code(), error))
}

fn measured(args: &Args) -> Result<ExitCode, LoadError> {
    let json = args.json.as_deref().map(Sink::open).transpose()?;
    let interrupt = interrupt_on_signals()?;
    let result = measure::capacity(args, &interrupt)?;
    if !json.as_ref().is_some_and(Sink::is_standard) {
        Sink::Standard.write(result.to_string().as_bytes())?;
    }
    if let Some(sink) = json {
        let text = serde_json::to_string_pretty(&result)
            .map_err(|e| LoadError::failed(format!("the result cannot be written as JSON: {e}")))?;
        sink.write(format!("{text}\n").as_bytes())?;
    }
    Ok(ExitCode::from(result.verdict.exit_code()))
}

impl Args {
    /// Says where it stands, unless nobody wants to know.
    fn say(&self, sentence: &str) {
        if !self.quiet {
            // Progress that nobody can read is not worth failing for.
            let _ = writeln!(io::stderr(), "{sentence}");
        }
    }
}

fn connections(text: &str) -> Result<u32, String> {
    match flag_value::count_u32(text)? {
        0 => Err("`0` is out of bounds: expected 1 to 4,294,967,295".to_owned()),
        count => Ok(count),
    }
}
