//! The flags of `towline load`, tcpkali's spellings among them.

use std::time::Duration;

use clap::{ArgAction, Subcommand, ValueEnum};
use towline_load::{
    BehaviorGroup, ClientBehavior, InFlightLimit, LoadError, Mode, Plan, ProxyHeader, SourceAddrs,
    TargetAddr,
};

use super::fanout_flags::{self, FanoutFlags};
use super::tls_flags::TlsFlags;
use super::{help, merge, report_flags::ReportFlags};
use crate::flag_value;

/// Load a line server: flood it, play ping-pong, pace lines, hold idle connections, or fan out messages.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, after_long_help = help::LOAD)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(super) command: Option<LoadCommand>,
    /// The target: HOST:PORT or unix:/path; connections take several targets in turn
    #[arg(value_name = "ADDR")]
    targets: Vec<String>,

    /// Number of connections [default: 1, or the sum of --mix]
    #[arg(short, long, value_name = "N", value_parser = flag_value::count_u32, help_heading = LOAD)]
    connections: Option<u32>,
    /// Connects per second [default: as fast as the server accepts]
    #[arg(long, value_name = "RATE", value_parser = flag_value::rate, help_heading = LOAD)]
    connect_rate: Option<f64>,
    /// Timeout of a connect, the TLS handshake included
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s",
          help_heading = LOAD)]
    connect_timeout: Duration,
    /// How long the load lasts once all connections are made
    #[arg(short = 'T', long, value_name = "TIME", value_parser = flag_value::duration,
          default_value = "10s", help_heading = LOAD)]
    duration: Duration,
    /// How long to wait for replies after the load has ended; 0 waits for none
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s",
          help_heading = LOAD)]
    drain: Duration,

    /// What connections do [default: flood; paced with --rate, ping-pong with --window]
    #[arg(long, value_name = "MODE", help_heading = MODE)]
    mode: Option<ModeName>,
    /// Ping-pong: lines in flight on each connection [default: 1]; fan-out: messages that a
    /// publisher may be ahead of the subscribers
    #[arg(long, value_name = "N", value_parser = flag_value::count_u32, help_heading = MODE)]
    window: Option<u32>,
    /// Ping-pong: how long to wait for a reply before going on without it
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "10s",
          help_heading = MODE)]
    reply_timeout: Duration,
    /// Paced: lines per second over all connections; fan-out: messages per second
    #[arg(long, value_name = "RATE", value_parser = flag_value::rate, help_heading = MODE)]
    rate: Option<f64>,
    /// Paced: lines per second on each connection
    #[arg(short = 'r', long, value_name = "RATE", value_parser = flag_value::rate,
          conflicts_with = "rate", help_heading = MODE)]
    message_rate: Option<f64>,
    /// Flood: bytes that each connection may have unanswered; with auto, all connections together
    /// stay within half of the kernel's TCP memory
    #[arg(long, value_name = "auto|off|BYTES", value_parser = InFlightLimit::parse,
          default_value = "auto", help_heading = MODE)]
    in_flight: InFlightLimit,

    /// The line or lines to send, with escapes such as \n, and {conn} {seq} {rand:N} for the
    /// connection's number, the line's number and N random letters and digits
    #[arg(short, long, value_name = "TEXT", default_value = MESSAGE_DEFAULT, help_heading = MESSAGE)]
    message: String,
    /// The reply to expect, if not the message itself
    #[arg(long, value_name = "TEXT", help_heading = MESSAGE)]
    expect: Option<String>,
    /// Compare every byte of every reply with what is expected
    #[arg(long, help_heading = MESSAGE)]
    verify: bool,
    /// Seed of {rand:N}: the same seed gives the same lines
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = MESSAGE)]
    seed: u64,
    /// Escapes are always understood; accepted because tcpkali needs it
    #[arg(short = 'e', long, hide = true)]
    unescape_message_args: bool,

    #[command(flatten)]
    fanout: FanoutFlags,

    /// Let all connections misbehave in this way; the list is below
    #[arg(long, value_name = "ROLE", value_parser = ClientBehavior::parse, conflicts_with = "mix",
          help_heading = BAD_CLIENTS)]
    persona: Option<ClientBehavior>,
    /// Let some connections misbehave: polite=900,never-read=100
    #[arg(long, value_name = "ROLE=N,…", value_parser = mix, help_heading = BAD_CLIENTS)]
    mix: Option<Mix>,
    /// Interval between the actions of a bad client
    #[arg(long, value_name = "TIME", value_parser = flag_value::duration, default_value = "1s",
          help_heading = BAD_CLIENTS)]
    persona_interval: Duration,

    /// Number of processes; auto is as many as the descriptor limit makes necessary
    #[arg(long, value_name = "auto|N", value_parser = processes, default_value = "auto",
          help_heading = HOST)]
    processes: Processes,
    /// Threads per process, each an event loop [default: the cores divided by the processes]
    #[arg(long, short = 'w', visible_alias = "workers", value_name = "N",
          value_parser = flag_value::count_u32, help_heading = HOST)]
    threads: Option<u32>,
    /// Source addresses: auto, or ranges such as 127.0.0.0/24
    #[arg(long, visible_alias = "source-ip", value_name = "auto|CIDR,…",
          value_parser = SourceAddrs::parse, default_value = "auto", help_heading = HOST)]
    sources: SourceAddrs,
    /// Begin each connection with a PROXY header (version 2), as a load balancer does: made-up clients
    /// of an IPv4 network such as 198.18.0.0/15, or local for the balancer's own connections
    #[arg(long, value_name = "NETWORK|local", value_parser = ProxyHeader::parse, help_heading = HOST)]
    proxy: Option<ProxyHeader>,
    /// Let Nagle's algorithm delay small writes
    #[arg(long, value_name = "on|off", value_parser = on_off, default_value = "off",
          action = ArgAction::Set, help_heading = HOST)]
    nagle: bool,

    #[command(flatten)]
    tls: TlsFlags,

    #[command(flatten)]
    pub(super) report: ReportFlags,
    /// Show no progress
    #[arg(long, short, help_heading = "Report")]
    pub(super) quiet: bool,
    #[arg(long, hide = true)]
    pub(super) worker_process: bool,
}

/// The message without `--message`.
const MESSAGE_DEFAULT: &str = "ping\\n";

const LOAD: &str = "Load";
const MODE: &str = "Mode";
const MESSAGE: &str = "Message";
const BAD_CLIENTS: &str = "Bad clients";
const HOST: &str = "Host";

#[derive(Debug, Subcommand)]
pub(super) enum LoadCommand {
    /// Merge the JSON reports of several hosts into one
    Merge(merge::Args),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ModeName {
    /// Send lines as fast as the connections take them
    Flood,
    /// Send a line for each reply; a fixed number in flight
    PingPong,
    /// Send on a fixed schedule, whether replies arrive or not
    Paced,
    /// Send nothing until the end, then one line each
    Idle,
    /// A few connections publish, all others check that they receive every message
    Fanout,
}

/// Newtypes, because clap treats a plain `Vec` or `Option` as a repeated or absent flag.
#[derive(Clone, Debug)]
struct Mix(Vec<BehaviorGroup>);

#[derive(Clone, Copy, Debug)]
struct Processes(Option<u32>);

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
        plan.proxy = self.proxy;
        plan.tls = self.tls.plan()?;
        plan.seed = self.seed;
        self.plan_fanout(&mut plan)?;
        Ok(plan)
    }

    /// Sets what a fan-out has in addition.
    fn plan_fanout(&self, plan: &mut Plan) -> Result<(), LoadError> {
        if !matches!(plan.mode, Mode::Fanout { .. }) {
            return self.fanout.check_absent();
        }
        if self.message != MESSAGE_DEFAULT || self.expect.is_some() {
            return Err(LoadError::usage(
                "a fan-out makes its own messages, which are numbered: expected no --message or --expect",
            ));
        }
        if self.message_rate.is_some() {
            return Err(LoadError::usage(
                "--message-rate is for each connection: in a fan-out expected --rate",
            ));
        }
        plan.fanout = self.fanout.plan()?;
        plan.verify = true;
        // --connections is the number of subscribers.
        plan.connections = plan.connections.saturating_add(plan.fanout.publishers);
        Ok(())
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
        if rate.is_some() && !matches!(mode, ModeName::Paced | ModeName::Fanout) {
            return Err(LoadError::usage("--rate paces lines: expected it with --mode paced only"));
        }
        if self.window.is_some() && !matches!(mode, ModeName::PingPong | ModeName::Fanout) {
            return Err(LoadError::usage(
                "--window is the number of lines in flight in ping-pong: expected it with --mode ping-pong only",
            ));
        }
        Ok(match mode {
            ModeName::Flood => Mode::Flood,
            ModeName::PingPong => Mode::PingPong { window: self.window.unwrap_or(1) },
            ModeName::Idle => Mode::Idle,
            ModeName::Fanout => Mode::Fanout { pace: fanout_flags::pace(rate, self.window)? },
            ModeName::Paced => Mode::Paced {
                rate: rate.ok_or_else(|| {
                    LoadError::usage("--mode paced has no rate: expected --rate LINES_PER_SECOND")
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

pub(super) fn on_off(text: &str) -> Result<bool, LoadError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(LoadError::usage(format!("`{text}` is neither on nor off"))),
    }
}
