//! The command line.

mod fanout;
mod ratio;
mod tls;
mod wire;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};
use towline_units::parse_duration;

use crate::{
    Error,
    admin::{self, Activity},
    c_programs::CPrograms,
    chat,
    faults::{self, FindingsTable, cycles::Ending},
    instructions, kernel,
    launcher::{Launcher, Towline, find_towline, find_ways},
    listing, reference, scrape,
};

/// Measures towline side by side with servers that do less.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ratios of lines per server-CPU-second, latencies and memory, beside their bounds
    Ratio(ratio::Ratio),
    /// User instructions per ping-pong line under callgrind
    Instructions(Instructions),
    /// Attacks: the latency of well-behaved clients, and what the server spends
    Faults(Faults),
    /// Connections that are made and closed in great number, and what they leave behind
    Cycles(Cycles),
    /// Badly behaved clients of every kind for a long time, and what grows meanwhile
    Soak(Soak),
    /// A worker process killed every second under load: lost connections, and the metrics of them
    Crashes(Crashes),
    /// The cost of a scrape: with no connection, with 10,000 open, and after many were counted
    Scrape(Scrape),
    /// Lines while the admin port is scraped or abused, against lines while it is not
    Admin(Admin),
    /// Lists of many connections in a loop: their time, and what they cost well-behaved clients
    Listing(Listing),
    /// One message to many subscribers, beside redis-server, nats-server, C and tokio::broadcast
    Fanout(fanout::Fanout),
    /// Requests of Redis and memcached clients, beside redis-server, memcached and other crates
    Wire(wire::Wire),
    /// Lines, handshakes and memory over TLS, beside bare tokio-rustls; bad handshakes and new certificates
    Tls(tls::Tls),
    /// Serves as the chat of a reference (started by another command)
    #[command(hide = true)]
    Chat,
    /// Serves as one of the references (started by the other commands)
    #[command(hide = true)]
    Peer(reference::ReferenceArgs),
    /// Serves as the reference over TLS (started by another command)
    #[command(hide = true)]
    TlsPeer(crate::tls::ReferenceArgs),
    /// Sends requests to an admin port (started by another command)
    #[command(hide = true)]
    Clients { doing: Activity, admin: Option<SocketAddr> },
}

/// Flags of the commands that need nothing but a towline binary.
#[derive(Debug, clap::Args)]
struct Binary {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
}

/// Flags of the commands that start several implementations.
#[derive(Debug, clap::Args)]
struct LaunchFlags {
    #[command(flatten)]
    binary: Binary,
    /// The library's example `ways` [default: the one in `examples` beside this binary]
    #[arg(long, value_name = "PATH")]
    ways: Option<PathBuf>,
    /// towline's admin address, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: String,
    /// A flag for towline, as in `--flag=--heartbeat --flag=off`
    #[arg(long = "flag", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Instructions {
    #[command(flatten)]
    launch: LaunchFlags,
    /// Lines of the shorter run; the longer one has twice as many
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    lines: u64,
    /// Keeps callgrind's files in this directory, for callgrind_annotate
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Faults {
    #[command(flatten)]
    binary: Binary,
    /// Time for which the well-behaved clients are measured before, during and after each attack
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "6s")]
    seconds: Duration,
    /// How often they are measured during each attack; the latency is that of the median measurement,
    /// because a shared machine stops for some milliseconds now and then
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    talks: u32,
    /// Only attacks whose names begin with this; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Compares the latency under the attacks with that of reference servers, which shows the
    /// machine's part of it
    #[arg(long)]
    references: bool,
}

#[derive(Debug, clap::Args)]
struct Cycles {
    #[command(flatten)]
    binary: Binary,
    /// Connections in all
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// How each of them ends
    #[arg(long, value_enum, default_value_t = Ending::Line)]
    ending: Ending,
}

#[derive(Debug, clap::Args)]
struct Soak {
    #[command(flatten)]
    binary: Binary,
    /// Duration
    #[arg(long, value_name = "TIME", value_parser = |text: &str| at_least(text, 20), default_value = "30m")]
    seconds: Duration,
}

#[derive(Debug, clap::Args)]
struct Crashes {
    #[command(flatten)]
    binary: Binary,
    /// Duration, with a kill every second
    #[arg(long, value_name = "TIME", value_parser = |text: &str| at_least(text, 4), default_value = "2m")]
    seconds: Duration,
    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=64))]
    workers: u32,
}

#[derive(Debug, clap::Args)]
struct Scrape {
    #[command(flatten)]
    binary: Binary,
    /// Connections made and closed before the last row
    #[arg(long, default_value_t = 1_000_000)]
    counted: u64,
}

#[derive(Debug, clap::Args)]
struct Listing {
    #[command(flatten)]
    binary: Binary,
    /// Idle connections that are open meanwhile
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    connections: u64,
    /// Time for which the well-behaved clients are measured in each turn
    #[arg(long, value_name = "TIME", value_parser = time, default_value = "6s")]
    seconds: Duration,
    /// Turns with listings, each after one without
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    turns: u32,
}

#[derive(Debug, clap::Args)]
struct Admin {
    #[command(flatten)]
    launch: LaunchFlags,
    /// Turns with clients at the admin port, eight seconds each, each compared with those without
    /// before and after it
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    turns: u16,
    /// Only scenarios whose names begin with this; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// What the clients do, in place of the scenario's activity
    #[arg(long, value_enum)]
    doing: Option<Activity>,
}

/// Reads a duration: a number of seconds, or one with a unit.
fn time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("expected more than 0".to_owned()),
        Ok(time) => Ok(time),
        Err(error) => Err(format!("`{text}` {error}: expected a duration, such as 30, 90s or 5m")),
    }
}

fn at_least(text: &str, seconds: u64) -> Result<Duration, String> {
    time(text).and_then(|time| match time.as_secs() < seconds {
        true => Err(format!("expected at least {seconds}s")),
        false => Ok(time),
    })
}

impl Binary {
    /// The path of the towline binary.
    fn find(self) -> Result<PathBuf, Error> {
        let found = find_towline(self.server);
        Ok(found.ok_or("no towline binary beside this one, and no --server")?)
    }
}

impl LaunchFlags {
    fn launcher(self) -> Result<Launcher, Error> {
        let path = find_towline(self.binary.server);
        match &path {
            Some(path) => eprintln!("towline: {}", path.display()),
            None => eprintln!("towline: no binary here and no --server: references only"),
        }
        let towline = Towline { path, admin: self.admin, flags: self.flags };
        let ways = find_ways(self.ways);
        Ok(Launcher { programs: CPrograms::compile_all()?, towline, ways, baseline: None })
    }
}

pub(crate) fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Ratio(args) => args.run(),
        Command::Instructions(Instructions { launch, lines, keep }) => {
            println!("{}", instructions::report(&launch.launcher()?, lines, keep.as_deref())?);
            Ok(())
        }
        Command::Faults(Faults { binary, seconds, talks, only, references }) => {
            let towline = binary.find()?;
            if references {
                print_table(&faults::compare::report(&towline, &only, seconds, talks)?);
                return Ok(());
            }
            print_findings(&faults::report(&towline, &only, seconds, talks)?)
        }
        Command::Cycles(Cycles { binary, count, ending }) => {
            print_findings(&faults::cycles::report(&binary.find()?, count, ending)?)
        }
        Command::Soak(Soak { binary, seconds }) => {
            print_findings(&faults::soak::report(&binary.find()?, seconds)?)
        }
        Command::Crashes(Crashes { binary, seconds, workers }) => {
            print_findings(&faults::crashes::report(&binary.find()?, seconds, workers)?)
        }
        Command::Scrape(Scrape { binary, counted }) => {
            print_table(&scrape::report(&binary.find()?, counted)?);
            Ok(())
        }
        Command::Admin(Admin { launch, turns, only, doing }) => {
            print_table(&admin::report(&launch.launcher()?, &only, doing, turns.into())?);
            Ok(())
        }
        Command::Listing(Listing { binary, connections, seconds, turns }) => {
            print_findings(&listing::report(&binary.find()?, connections, seconds, turns)?)
        }
        Command::Fanout(args) => args.run(),
        Command::Wire(args) => args.run(),
        Command::Tls(args) => args.run(),
        Command::Chat => Ok(chat::serve()?),
        Command::Clients { doing, admin } => admin::run_clients(admin, doing),
        Command::TlsPeer(args) => crate::tls::serve(args),
        Command::Peer(args) => Ok(reference::serve(args)?),
    }
}

fn print_table(table: &str) {
    println!("{}\n\n{table}", kernel::host());
}

/// Prints findings; an error when a bound was missed.
fn print_findings(findings: &FindingsTable) -> Result<(), Error> {
    print_table(&findings.to_string());
    match findings.missed() {
        0 => Ok(()),
        1 => Err("one of the bounds was missed".into()),
        missed => Err(format!("{missed} of the bounds were missed").into()),
    }
}
