//! `towline bench article`: the four columns of an article's benchmark table on this host.
//!
//! Each column starts a server by profile, in several processes if the descriptor limit requires it,
//! and loads it as the article did. Its figures come from the generator, from the server's own metrics
//! and from the kernel's counters; a diagnosis names what limited them, with the evidence.

mod column;
mod diagnosis;
mod html;
mod measure;
mod result;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use towline_load::{ClientBehavior, LoadError, interrupt_on_signals};

use self::column::COLUMNS;
use self::result::Table;
use super::table::Width;
use super::{Output, say};
use crate::load::Sink;
use crate::{exit, flag_value};

/// Reproduce an article's benchmark table on this host, and name what limited each column.
#[derive(Debug, clap::Args)]
#[command(after_long_help = after())]
pub(crate) struct Args {
    /// How long each column's load lasts once all connections are made
    #[arg(short = 'T', long, value_name = "TIME", value_parser = flag_value::duration, default_value = "60s")]
    duration: Duration,
    /// Fraction of the article's connections, for small hosts
    #[arg(long, value_name = "FRACTION", value_parser = scale, default_value = "1")]
    scale: f64,
    /// How long one connect may take
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    connect_timeout: Duration,
    /// Only these columns, 1 to 4 (repeatable)
    #[arg(long = "column", value_name = "N", value_parser = clap::value_parser!(u8).range(1..=4))]
    columns: Vec<u8>,
    /// Server processes [default: as many as the descriptor limit makes necessary]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    processes: Option<u32>,
    /// A flag added to the servers' own, such as --server-flag=--flush=auto (repeatable)
    #[arg(long = "server-flag", value_name = "FLAG")]
    server_flags: Vec<String>,
    /// Let the clients behave badly instead of flooding, to see the verdict name it
    #[arg(long, value_name = "ROLE", value_parser = ClientBehavior::parse)]
    persona: Option<ClientBehavior>,
    /// Write the table as JSON; - is standard output
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write the table as a self-contained HTML page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print no progress while it runs
    #[arg(long, short)]
    quiet: bool,
}

/// The article whose table is reproduced.
const TITLE: &str = "Managing 10K+ Concurrent Connections in Go";
const ADDRESS: &str = "https://goperf.dev/02-networking/10k-connections/";

fn after() -> String {
    format!(
        "\
The article is \"{TITLE}\", from the Go Optimization Guide:
{ADDRESS}
Its table has four columns: 10,000 connections without and with buffered writes, 30,000 with, and 30,000
with a SHA-256 of each line.

The servers are started by profile (baseline-10k, buffered-10k, buffered-30k, sha256-30k) on free ports;
where one process has too few descriptors, several share the connections. The load is `towline load` in
flood mode at the article's connect rates. Servers and load run on this host, on the same cores.

Exit codes: 0 every column was measured; 1 one was not; 2 a flag is wrong; 4 replies were wrong."
    )
}

pub(crate) fn run(args: &Args) -> ExitCode {
    measured(args).unwrap_or_else(|error| exit::with(error.exit_code(), error))
}

fn measured(args: &Args) -> Result<ExitCode, LoadError> {
    let output = Output::open(args.json.as_deref())?;
    let html = args.html.as_deref().map(Sink::open).transpose()?;
    let interrupt = interrupt_on_signals()?;
    let mut table = Table::new(args.scale, args.duration);
    for column in
        COLUMNS.iter().filter(|c| args.columns.is_empty() || args.columns.contains(&c.number))
    {
        if interrupt.load(Relaxed) {
            table.interrupted = true;
            break;
        }
        say(args.quiet, &format!("column {}: {}", column.number, column.title(args.scale)));
        table.columns.push(measure::column(column, args, &interrupt)?);
    }
    output.write(&table.text(Width::of_stdout()), serde_json::to_string(&table))?;
    if let Some(sink) = html {
        sink.write(table.html().as_bytes())?;
    }
    Ok(ExitCode::from(table.exit_code()))
}

fn scale(text: &str) -> Result<f64, LoadError> {
    let value = text.parse().ok().filter(|v| (0.0001..=100.0).contains(v));
    value.ok_or_else(|| {
        LoadError::usage(format!("`{text}` is not a scale: expected a fraction such as 0.02, or 1"))
    })
}
