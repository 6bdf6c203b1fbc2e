//! `towline bench article`: the article's four columns on this host, by one command.
//!
//! Each column starts a server by profile, of several processes if need be, loads it as the article did,
//! reads the server's own accounting from its admin port and the kernel's counters from `/proc`, and ends with
//! a verdict: what kept the figure from being higher, and by which evidence.

mod column;
mod diagnosis;
mod html;
mod measure;
mod result;
mod text;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use towline_load::{ClientBehavior, LoadError, interrupt_on_signals};

use self::column::COLUMNS;
use self::result::Table;
use crate::load::Sink;
use crate::{exit, flag_value};

/// Reproduce the article's four columns on this host, and name what stopped each.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER)]
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
    /// A further flag for the servers, such as --server-flag=--flush=auto (repeatable)
    #[arg(long = "server-flag", value_name = "FLAG")]
    server_flags: Vec<String>,
    /// Let the peers behave badly instead of flooding, to see the verdict name it
    #[arg(long, value_name = "ROLE", value_parser = ClientBehavior::parse)]
    persona: Option<ClientBehavior>,
    /// Write the table as JSON; - is standard output
    #[arg(long, value_name = "FILE|-")]
    json: Option<PathBuf>,
    /// Write the table as a self-contained page
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// No progress while it runs
    #[arg(long, short)]
    quiet: bool,
}

const AFTER: &str = "\
The servers are started by profile (baseline-10k, buffered-10k, buffered-30k, sha256-30k) on ports of
their own; where one process has too few descriptors, several share the connections. The load is
`towline load` in flood mode at the article's connect rates. Both run here, on the same cores.

Exit codes: 0 every column was measured; 1 one was not; 2 a flag is wrong; 4 replies were wrong.";

pub(crate) fn run(args: &Args) -> ExitCode {
    measured(args).unwrap_or_else(|error| exit::with(error.exit_code(), error))
}

fn measured(args: &Args) -> Result<ExitCode, LoadError> {
    let json = args.json.as_deref().map(Sink::open).transpose()?;
    let html = args.html.as_deref().map(Sink::open).transpose()?;
    let interrupt = interrupt_on_signals()?;
    let mut table = Table::new(args.scale, args.duration);
    for column in
        COLUMNS.iter().filter(|c| args.columns.is_empty() || args.columns.contains(&c.number))
    {
        if interrupt.load(std::sync::atomic::Ordering::Relaxed) {
            table.interrupted = true;
            break;
        }
        say(args, &format!("column {}: {}", column.number, column.name));
        table.columns.push(measure::column(column, args, &interrupt)?);
    }
    let printed = table.to_string();
    if !json.as_ref().is_some_and(Sink::is_standard) {
        Sink::Standard.write(printed.as_bytes())?;
    }
    if let Some(sink) = html {
        sink.write(table.html().as_bytes())?;
    }
    if let Some(sink) = json {
        let text = serde_json::to_string(&table)
            .map_err(|e| LoadError::failed(format!("the table cannot be written as JSON: {e}")))?;
        sink.write(format!("{text}\n").as_bytes())?;
    }
    Ok(ExitCode::from(table.exit_code()))
}

fn say(args: &Args, sentence: &str) {
    if !args.quiet {
        let mut err = io::stderr();
        let clear = if err.is_terminal() { "\r\x1b[K" } else { "" };
        // Progress that nobody can read is not worth failing for.
        let _ = writeln!(err, "{clear}{sentence}");
    }
}

fn scale(text: &str) -> Result<f64, LoadError> {
    let value = text.parse().ok().filter(|v| (0.0001..=100.0).contains(v));
    value.ok_or_else(|| {
        LoadError::usage(format!("`{text}` is not a scale: expected a fraction such as 0.02, or 1"))
    })
}
