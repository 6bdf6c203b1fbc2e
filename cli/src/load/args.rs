//! The flags of `towline load`, tcpkali's spellings among them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Subcommand, ValueEnum};
use towline_load::{
    Assertion, BehaviorGroup, ClientBehavior, InFlightLimit, LoadError, Mode, Plan, SourceAddrs,
    TargetAddr,
};

use super::merge;
use crate::flag_value;

/// Load a line server: flood it, play ping-pong, pace lines, or hold idle connections.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = AFTER)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<LoadCommand>,
    /// Where to connect: HOST:PORT or unix:/path; several are taken in turn
    #[arg(value_name = "ADDR")]
    targets: Vec<String>,
    /// Connections in all [default: 1, or the sum of --mix]
    #[arg(short, long, value_name = "N", value_parser = flag_value::count_u32)]
    connections: Option<u32>,
    /// Connects a second [default: as fast as they are accepted]
    #[arg(long, value_name = "RATE", value_parser = flag_value::rate)]
    connect_rate: Option<f64>,
    /// How long one connect may take
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    connect_timeout: Duration,
    /// How long the load lasts once all connections are made
    #[arg(short = 'T', long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    duration: Duration,
    /// What to send, with \n escapes and {conn} {seq} {rand:N}
    #[arg(short, long, value_name = "TEXT", default_value = "ping\\n")]
    message: String,
    /// The reply to expect instead of the message itself
    #[arg(long, value_name = "TEXT")]
    expect: Option<String>,
    /// What connections do [default: flood; paced with --rate, ping-pong with --window]
    #[arg(long, value_name = "MODE")]
    mode: Option<ModeName>,
    /// Lines in flight on each connection (ping-pong) [default: 1]
    #[arg(long, value_name = "N", value_parser = flag_value::count_u32)]
    window: Option<u32>,
    /// Lines a second over all connections (paced)
    #[arg(long, value_name = "RATE", value_parser = flag_value::rate)]
    rate: Option<f64>,
    /// Lines a second on each connection (paced)
    #[arg(short = 'r', long, value_name = "RATE", value_parser = flag_value::rate, conflicts_with = "rate")]
    message_rate: Option<f64>,
    /// Compare every byte of every reply with what is expected
    #[arg(long)]
    verify: bool,
    /// Bytes a flooding connection may have unanswered: auto keeps within half of the kernel's TCP memory
    #[arg(long, value_name = "auto|off|BYTES", value_parser = InFlightLimit::parse, default_value = "auto")]
    in_flight: InFlightLimit,
    /// How long a ping-pong connection waits for a reply before it goes on without
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    reply_timeout: Duration,
    /// How long replies may still flow in after the load has ended
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s")]
    drain: Duration,
    /// Let all connections behave badly in one way
    #[arg(long, value_name = "ROLE", value_parser = ClientBehavior::parse, conflicts_with = "mix")]
    persona: Option<ClientBehavior>,
    /// Let some behave badly: polite=900,never-read=100
    #[arg(long, value_name = "ROLE=N,…", value_parser = mix)]
    mix: Option<Mix>,
    /// How often bad clients do their deed
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "1s")]
    persona_interval: Duration,
    /// Processes: auto is as many as the descriptor limit makes necessary
    #[arg(long, value_name = "auto|N", value_parser = processes, default_value = "auto")]
    processes: Processes,
    /// Threads a process, each with its event loop [default: the cores, shared out]
    #[arg(long, short = 'w', visible_alias = "workers", value_name = "N", value_parser = flag_value::count_u32)]
    threads: Option<u32>,
    /// Source addresses: auto, or ranges such as 127.0.0.0/24
    #[arg(long, visible_alias = "source-ip", value_name = "auto|CIDR,…", value_parser = SourceAddrs::parse,
          default_value = "auto")]
    sources: SourceAddrs,
    /// Let Nagle's algorithm hold small writes back
    #[arg(long, value_name = "on|off", value_parser = on_off, default_value = "off",
          action = ArgAction::Set)]
    nagle: bool,
    /// What {rand:N} is drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    pub(super) report: ReportFlags,
    /// No progress while it runs
    #[arg(long, short)]
    pub(super) quiet: bool,
    /// Escapes are always understood; accepted because tcpkali needs it
    #[arg(short = 'e', long, hide = true)]
    unescape_message_args: bool,
    #[arg(long, hide = true)]
    pub(super) worker_process: bool,
}

/// Where the report goes and what it must say.
#[derive(Debug, clap::Args)]
pub(crate) struct ReportFlags {
    /// Fail with exit code 3 unless this holds, such as 'p99<10ms' (repeatable)
    #[arg(long = "assert", value_name = "EXPR", value_parser = Assertion::parse)]
    pub(super) assertions: Vec<Assertion>,
    /// Write the report as JSON; - is standard output
    #[arg(long, value_name = "FILE|-")]
    pub(super) json: Option<PathBuf>,
    /// Write the report as a self-contained page with plots
    #[arg(long, value_name = "FILE")]
    pub(super) html: Option<PathBuf>,
    /// Write the course of the latency as an HdrHistogram log
    #[arg(long, value_name = "FILE")]
    pub(super) hdr: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum LoadCommand {
    /// Merge the JSON reports of several hosts into one
    Merge(merge::Args),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeName {
    Flood,
    PingPong,
    Paced,
    Idle,
}

/// Types of their own, because clap takes a `Vec` or an `Option` for repeated and absent flags.
#[derive(Clone, Debug)]
struct Mix(Vec<BehaviorGroup>);

#[derive(Clone, Copy, Debug)]
struct Processes(Option<u32>);

const AFTER: &str = "\
Numbers take k and m, rates also /s, times us ms s m h d; -T -m -c -r -w -e are tcpkali's.

--assert compares a figure with a number: min p50 p90 p99 p999 max mean of the latency (service.,
response., connect. or after_ramp. in front choose another), lines_per_second mbps_up mbps_down
per_connection_kbps, requested established failed closed_early, sent received, checked mismatched
missing unanswered, connect reset timeout closed unsent errors error_lines, jain spread.min …
spread.max, cpu_seconds saturated ramp_seconds seconds; with < <= > >= == !=.

Bad clients: slowloris trickle never-read half-open reset churn burst.

Verification: every reply is compared byte for byte, in order. Lines of a message without {seq} or
{rand:N} all look the same: then a lost one and a repeated one on the same connection cancel out.
The server's heartbeats (`ping`) are answered and left out. When the message is `ping\\n` itself, one
line too many counts as a heartbeat only if the connection had sent nothing for half a second.

Exit codes: 0 clean; 1 connections failed or were ended by the server, or nothing could be run; 2 a
flag is wrong; 3 an --assert was missed; 4 replies were wrong or missing (--verify).";

impl Args {
    /// The plan these flags describe.
    pub(super) fn plan(&self) -> Result<Plan, LoadError> {
        let (first, others) = self
            .targets
            .split_first()
            .ok_or_else(|| LoadError::usage("load needs a target: towline load HOST:PORT"))?;
        let mode = self.mode()?;
        let mut plan = Plan::new(TargetAddr::resolve(first)?);
        for other in others {
            plan.targets.push(TargetAddr::resolve(other)?);
        }
        let mixed = self.mix.as_ref().map(|Mix(mix)| mix.iter().map(|g| g.connections).sum());
        plan.connections = self.connections.or(mixed).unwrap_or(1);
        plan.connect_rate = self.connect_rate;
        plan.connect_timeout = self.connect_timeout;
        plan.duration = self.duration;
        plan.message.clone_from(&self.message);
        plan.expect.clone_from(&self.expect);
        plan.verify = self.verify;
        plan.mix = match (&self.mix, self.persona) {
            (Some(Mix(mix)), _) => mix.clone(),
            (None, Some(behavior)) => {
                vec![BehaviorGroup { behavior, connections: plan.connections }]
            }
            (None, None) => Vec::new(),
        };
        plan.mode = mode;
        if let (Mode::Paced { rate }, Some(_)) = (mode, self.message_rate) {
            plan.mode = Mode::Paced {
                rate: rate * f64::from(plan.connections_as(ClientBehavior::WellBehaved)).max(1.0),
            };
        }
        plan.bad_client_interval = self.persona_interval;
        plan.threads = self.threads;
        plan.processes = self.processes.0;
        plan.sources = self.sources.clone();
        plan.in_flight = self.in_flight;
        plan.reply_timeout = self.reply_timeout;
        plan.drain = self.drain;
        plan.nagle = self.nagle;
        plan.seed = self.seed;
        Ok(plan)
    }

    /// The mode asked for, or the one that the other flags imply.
    fn mode(&self) -> Result<Mode, LoadError> {
        let rate = self.rate.or(self.message_rate);
        let implied = match (rate, self.window) {
            (Some(_), _) => ModeName::Paced,
            (None, Some(_)) => ModeName::PingPong,
            (None, None) => ModeName::Flood,
        };
        let mode = self.mode.unwrap_or(implied);
        if rate.is_some() && mode != ModeName::Paced {
            return Err(LoadError::usage("--rate paces lines: expected it with --mode paced only"));
        }
        if self.window.is_some() && mode != ModeName::PingPong {
            return Err(LoadError::usage(
                "--window is the lines in flight of ping-pong: expected it with --mode ping-pong only",
            ));
        }
        Ok(match mode {
            ModeName::Flood => Mode::Flood,
            ModeName::PingPong => Mode::PingPong { window: self.window.unwrap_or(1) },
            ModeName::Idle => Mode::Idle,
            ModeName::Paced => Mode::Paced {
                rate: rate.ok_or_else(|| {
                    LoadError::usage("--mode paced has no rate: expected --rate LINES_A_SECOND")
                })?,
            },
        })
    }
}

fn mix(text: &str) -> Result<Mix, LoadError> {
    BehaviorGroup::parse_mix(text).map(Mix)
}

fn processes(text: &str) -> Result<Processes, String> {
    if text == "auto" {
        return Ok(Processes(None));
    }
    flag_value::count_u32(text).map(|count| Processes(Some(count)))
}

fn on_off(text: &str) -> Result<bool, LoadError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(LoadError::usage(format!("`{text}` is neither on nor off"))),
    }
}
