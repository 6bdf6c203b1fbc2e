//! The command line.

use std::{fs, net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Parser, Subcommand};

use crate::{
    Error,
    admin::{self, Doing},
    c_peers::Workshop,
    faults::{self, Verdict, cycles::Ending},
    generator::Timing,
    implementation::{Stable, Subject, Towline},
    instructions, kernel,
    ratio::{self, Plan},
    reference, report,
    scenario::{SCENARIOS, Scenario},
    scrape,
};

/// Measures towline side by side with servers that do less.
#[derive(Debug, Parser)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ratios of lines per server-CPU-second, latencies and memory, demanded beside measured
    Ratio(Ratio),
    /// User instructions per ping-pong line under callgrind
    Instructions(Instructions),
    /// Attacks on a server with polite peers: what they suffer, and what the server spends
    Faults(Faults),
    /// Connections that come and go in great number, and what they leave behind
    Cycles(Cycles),
    /// Bad peers of every kind at once for a long time, and what grows meanwhile
    Soak(Soak),
    /// A worker process killed every second under load: who is hurt, and what the books say
    Crashes(Crashes),
    /// What a scrape costs, with nobody connected, with 10,000 connected and after many have come and gone
    Scrape(Scrape),
    /// Lines while the admin port is scraped, and while it is abused, against lines in calm
    Admin(Admin),
    /// Serves as one of the references (started by the other commands)
    #[command(hide = true)]
    Peer(reference::Peer),
    /// Asks at an admin port, one way or another (started by another command)
    #[command(hide = true)]
    Clients { doing: Doing, admin: Option<SocketAddr> },
}

#[derive(Debug, clap::Args)]
struct Which {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// towline's admin address, or `off`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    admin: String,
    /// A flag for towline, as in `--flag=--heartbeat --flag=off`
    #[arg(long = "flag", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Ratio {
    #[command(flatten)]
    which: Which,
    /// Turns everybody gets
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seconds measured in a turn, after a third as many to warm up
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Only the scenario of this name, or those whose names begin so; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Who is measured against the references
    #[arg(long, value_enum, default_value_t = Subject::Towline)]
    subject: Subject,
    /// Also the references of which nothing is demanded
    #[arg(long)]
    all: bool,
    /// Writes every run to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Instructions {
    #[command(flatten)]
    which: Which,
    /// Lines of the shorter run; the longer has twice as many
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    lines: u64,
    /// Keeps callgrind's files in this directory, for callgrind_annotate
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Faults {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Seconds the polite peers talk in calm, under each attack, and after it
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// How often they talk under each attack; the latency is that of the middle talk, since a shared
    /// machine stands still for some milliseconds now and then
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    talks: u32,
    /// Only attacks whose names begin so; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// Only the polite peers' latency, beside the same attacks on servers that do less: what of it is
    /// the machine's
    #[arg(long)]
    references: bool,
}

#[derive(Debug, clap::Args)]
struct Cycles {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Connections in all
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    count: u64,
    /// How each of them goes
    #[arg(long, value_enum, default_value_t = Ending::Line)]
    ending: Ending,
}

#[derive(Debug, clap::Args)]
struct Soak {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// How long it lasts
    #[arg(long, default_value_t = 1800, value_parser = clap::value_parser!(u64).range(20..))]
    seconds: u64,
}

#[derive(Debug, clap::Args)]
struct Crashes {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// How long it lasts, a kill each second
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(4..))]
    seconds: u64,
    /// Worker processes
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(2..=64))]
    workers: u32,
}

#[derive(Debug, clap::Args)]
struct Scrape {
    /// The towline binary [default: the one beside this binary]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// Connections that come and go before the last row
    #[arg(long, default_value_t = 1_000_000)]
    counted: u64,
}

#[derive(Debug, clap::Args)]
struct Admin {
    #[command(flatten)]
    which: Which,
    /// Turns the clients get, each compared with the calm before and after it; eight seconds each
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    turns: u16,
    /// Only scenarios whose names begin so; several may follow
    #[arg(long, num_args = 1.., value_name = "NAME")]
    only: Vec<String>,
    /// What the clients do, instead of what the scenario says
    #[arg(long, value_enum)]
    doing: Option<Doing>,
}

impl Which {
    fn stable(self) -> Result<Stable, Error> {
        let towline = Towline::find(self.server, self.admin, self.flags);
        match &towline.path {
            Some(path) => eprintln!("towline: {}", path.display()),
            None => eprintln!("towline: none beside this binary, and no --server: references only"),
        }
        Ok(Stable { shop: Workshop::open()?, towline })
    }
}

pub(crate) fn run(cli: Cli) -> Result<(), Error> {
    match cli.command {
        Command::Ratio(ratio) => compare(ratio),
        Command::Instructions(wanted) => {
            let stable = wanted.which.stable()?;
            let keep = wanted.keep.as_deref();
            println!("{}", instructions::report(&stable, wanted.lines, keep)?);
            Ok(())
        }
        Command::Faults(Faults { server, seconds, talks, only, references }) => {
            let (towline, time) = (towline(server)?, Duration::from_secs(seconds));
            if references {
                let table = faults::compare::report(&towline, &only, time, talks)?;
                println!("{}\n\n{table}", kernel::host());
                return Ok(());
            }
            tell(&faults::report(&towline, &only, time, talks)?)
        }
        Command::Cycles(Cycles { server, count, ending }) => {
            tell(&faults::cycles::report(&towline(server)?, count, ending)?)
        }
        Command::Soak(Soak { server, seconds }) => {
            tell(&faults::soak::report(&towline(server)?, Duration::from_secs(seconds))?)
        }
        Command::Crashes(Crashes { server, seconds, workers }) => {
            let time = Duration::from_secs(seconds);
            tell(&faults::crashes::report(&towline(server)?, time, workers)?)
        }
        Command::Scrape(Scrape { server, counted }) => {
            let towline = Towline::find(server, String::new(), Vec::new());
            let path = towline.path.ok_or("no towline beside this binary, and no --server")?;
            println!("{}\n\n{}", kernel::host(), scrape::report(&path, counted)?);
            Ok(())
        }
        Command::Admin(Admin { which, turns, only, doing }) => {
            let table = admin::report(&which.stable()?, &only, doing, turns.into())?;
            println!("{}\n\n{table}", kernel::host());
            Ok(())
        }
        Command::Clients { doing, admin } => admin::run_clients(admin, doing),
        Command::Peer(peer) => Ok(reference::serve(peer)?),
    }
}

/// Prints a verdict; an error when something demanded was missed.
fn tell(verdict: &Verdict) -> Result<(), Error> {
    println!("{}\n\n{verdict}", kernel::host());
    match verdict.missed() {
        0 => Ok(()),
        1 => Err("one of the figures demanded was missed".into()),
        missed => Err(format!("{missed} of the figures demanded were missed").into()),
    }
}

fn towline(server: Option<PathBuf>) -> Result<PathBuf, Error> {
    let towline = Towline::find(server, String::new(), Vec::new());
    Ok(towline.path.ok_or("no towline beside this binary, and no --server")?)
}

fn compare(wanted: Ratio) -> Result<(), Error> {
    let scenarios = select(&wanted.only)?;
    let run = Duration::try_from_secs_f64(wanted.seconds).map_err(|_negative_or_huge| {
        format!("--seconds {}: expected a positive number of seconds", wanted.seconds)
    })?;
    let warm = (run / 3).clamp(Duration::from_millis(200), Duration::from_secs(2));
    let plan = Plan {
        subject: wanted.subject,
        rounds: wanted.rounds,
        timing: Timing { warm, run },
        all: wanted.all,
    };
    let stable = wanted.which.stable()?;
    let outcomes: Vec<_> =
        scenarios.into_iter().map(|scenario| ratio::measure(&stable, scenario, plan)).collect();
    let verdicts = report::judge(&outcomes, plan.subject);
    let host = kernel::host();
    println!("{host}\n\n{}\n{}", report::demands(&verdicts), report::everybody(&outcomes));
    let voids = report::voids(&outcomes);
    if !voids.is_empty() {
        println!("Void, and why:\n{voids}");
    }
    if let Some(path) = wanted.json {
        fs::write(&path, report::json(&host, &outcomes, &verdicts)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

fn select(only: &[String]) -> Result<Vec<&'static Scenario>, Error> {
    if let Some(name) = only.iter().find(|o| !SCENARIOS.iter().any(|s| s.name.starts_with(*o))) {
        let known: Vec<_> = SCENARIOS.iter().map(|s| s.name).collect();
        return Err(format!("--only {name}: expected one of {}", known.join(", ")).into());
    }
    // A whole name is that scenario, though others may begin so too.
    let means = |only: &str, name: &str| match SCENARIOS.iter().any(|s| s.name == only) {
        true => name == only,
        false => name.starts_with(only),
    };
    let wanted = |name: &str| only.is_empty() || only.iter().any(|only| means(only, name));
    Ok(SCENARIOS.iter().filter(|scenario| wanted(scenario.name)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Option<Vec<&'static str>> {
        let only: Vec<_> = only.iter().map(ToString::to_string).collect();
        Some(select(&only).ok()?.into_iter().map(|s| s.name).collect())
    }

    #[test]
    fn scenarios_are_chosen_by_the_beginning_of_their_names() {
        assert_eq!(names(&["flood", "noise"]), Some(vec!["flood-100", "flood-5000", "noise"]));
        assert_eq!(names(&[]).map(|all| all.len()), Some(SCENARIOS.len()));
        assert_eq!(names(&["pingpong-100"]), Some(vec!["pingpong-100"]), "nor the thousand");
        assert_eq!(names(&["floood"]), None, "a typing error must not measure nothing");
    }
}
