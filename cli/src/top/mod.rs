//! `towline top`: the connections of a server, or of several, in a terminal.
//!
//! | file | holds |
//! |---|---|
//! | `fetch.rs` | the thread that asks the servers |
//! | `answer.rs` | their answers |
//! | `model.rs` | what is shown, from two answers of each server |
//! | `columns.rs` | the columns of the table |
//! | `view.rs` | the screen, as lines of text |
//! | `keys.rs` | what keys do |
//! | `screen.rs` | the loop on a terminal |

mod answer;
mod columns;
mod fetch;
mod keys;
mod model;
mod screen;
mod view;

use std::{io::IsTerminal as _, process::ExitCode, time::Duration};

use towline_load::TargetAddr;

use self::{
    fetch::{Query, fetch},
    model::Model,
};
use crate::exit;

/// Show the connections of running servers, those that wait for their clients first.
#[derive(Debug, clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// Servers to ask: HOST:PORT of their admin ports, or unix:/path of their admin sockets
    #[arg(value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    servers: Vec<String>,
    /// Order of the connections, largest first
    #[arg(long, value_name = "WORD", default_value = "write_wait", value_parser = Query::SORTS)]
    sort: String,
    /// Only connections that meet all conditions, separated by commas
    #[arg(long = "match", value_name = "CONDITIONS", default_value = "")]
    conditions: String,
    /// Most connections of each server
    #[arg(long, value_name = "COUNT", default_value = "50", value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Time between two looks
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = parse_interval)]
    interval: Duration,
    /// Print one table and end. The default where standard output is no terminal
    #[arg(long)]
    once: bool,
    /// Print the servers' answers as they are, one JSON object for each server, and end
    #[arg(long, conflicts_with = "once")]
    json: bool,
}

const HELP: &str = "\
Conditions:
  peer=10.0.0.0/8      an address, a network, an address with a port, or unix
  state=write_wait     handshake, idle, read_wait, ready, service, limit_wait,
                       push_wait, write_wait, closing
  cause=peer           why replies wait: peer, network, buffer or unknown
  worker=0             the thread that serves it
  age>1h idle<10s wait>5s unsent>1MiB bytes<4KiB lines>1000

Keys: < > order   / conditions   c closed connections   up down choose   p pause   + - interval   q end";

/// Shortest and longest time between two looks.
const INTERVALS: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(3600)];

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = towline_units::parse_duration(text).map_err(|error| error.to_string())?;
    if (INTERVALS[0]..=INTERVALS[1]).contains(&interval) {
        Ok(interval)
    } else {
        Err("expected a time from 100ms to 1h".to_owned())
    }
}

/// Servers that are asked at the same time.
const SERVERS_MAX: usize = 64;

pub(crate) fn run(args: Args) -> ExitCode {
    if args.servers.len() > SERVERS_MAX {
        let asked = args.servers.len();
        return exit::with(
            exit::USAGE,
            format_args!("{asked} servers: expected {SERVERS_MAX} at most"),
        );
    }
    let Args { servers, sort, conditions, limit, interval, once, json } = args;
    let servers: Result<Vec<_>, _> =
        servers.iter().map(|server| TargetAddr::resolve(server)).collect();
    let servers = match servers {
        Ok(servers) => servers,
        Err(error) => return exit::with(error.exit_code(), error),
    };
    let query = Query { sort, conditions, limit, closed: false };
    if json {
        return print_json(&servers, &query);
    }
    if once || !std::io::stdout().is_terminal() {
        return print_once(&servers, &query);
    }
    screen::run(servers, query, interval)
}

fn print_json(servers: &[TargetAddr], query: &Query) -> ExitCode {
    let mut text = String::new();
    for server in servers {
        match fetch::connections(server, query) {
            Ok(answer) => text.extend([answer.trim_end(), "\n"]),
            Err(why) => return exit::with(exit::FAILED, format_args!("{server}: {why}")),
        }
    }
    exit::printing(&text)
}

/// Prints one table. Servers that do not answer are named behind it.
fn print_once(servers: &[TargetAddr], query: &Query) -> ExitCode {
    let mut model = Model::new(servers, query.clone());
    model.take(fetch(servers, query));
    let printed = exit::printing(&view::plain(&model));
    let mut failed = false;
    for (server, why) in model.failures() {
        failed = true;
        exit::with(exit::FAILED, format_args!("{server}: {why}"));
    }
    if failed { ExitCode::from(exit::FAILED) } else { printed }
}
