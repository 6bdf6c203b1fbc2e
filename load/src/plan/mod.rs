//! The plan of a run, as plain data that is sent to worker processes.

mod check;
mod client_behavior;
mod fanout;
mod in_flight_limit;
mod mix;
mod proxy;
mod source_addrs;
mod target_addr;
mod tls;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use client_behavior::ClientBehavior;
pub(crate) use fanout::Role;
pub use fanout::{Fanout, FanoutPace, FanoutProtocol};
pub use in_flight_limit::InFlightLimit;
pub use mix::BehaviorGroup;
pub(crate) use mix::WeightedRoundRobin;
pub use proxy::ProxyHeader;
pub use source_addrs::SourceAddrs;
pub use target_addr::TargetAddr;
pub use tls::{TlsClientFiles, TlsPlan, TlsTrust, TlsVersion};

/// What a load run does. Start from [`Plan::new`] and set the fields that differ.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where to connect. Connections take several targets in turn.
    pub targets: Vec<TargetAddr>,
    /// Connections of all processes, bad clients included. Default: 1.
    pub connections: u32,
    /// Connects per second of all processes. Default: `None`, as fast as the server accepts.
    pub connect_rate: Option<f64>,
    /// Timeout of a connect, the TLS handshake included. Default: 10 s.
    pub connect_timeout: Duration,
    /// How long the load lasts after the ramp. Default: 10 s.
    pub duration: Duration,
    /// What well-behaved connections do. Default: ping-pong with a window of 1.
    pub mode: Mode,
    /// The message, with escapes and `{parts}`. Default: `ping\n`.
    pub message: String,
    /// The expected reply, written as the message. Default: `None`, the message itself.
    pub expect: Option<String>,
    /// Whether every reply is compared with what is expected. Default: no.
    pub verify: bool,
    /// What a fan-out publishes, to whom, and in which protocol.
    #[serde(default)]
    pub fanout: Fanout,
    /// How many connections behave in which way. Default: empty, all are
    /// [`ClientBehavior::WellBehaved`].
    pub mix: Vec<BehaviorGroup>,
    /// Interval between the actions of a bad client. Default: 1 s.
    pub bad_client_interval: Duration,
    /// Threads per process, each an event loop. Default: `None`, the cores divided by the processes.
    pub threads: Option<u32>,
    /// Number of processes. Default: `None`, as many as the descriptor limit makes necessary.
    pub processes: Option<u32>,
    /// The source addresses of connections. Default: [`SourceAddrs::Auto`].
    pub sources: SourceAddrs,
    /// Unanswered bytes of each flooding connection. Default: [`InFlightLimit::Auto`].
    pub in_flight: InFlightLimit,
    /// Time after which a ping-pong connection goes on without a reply. Default: 10 s.
    pub reply_timeout: Duration,
    /// Time to wait for replies after the load has ended. Default: 10 s.
    pub drain: Duration,
    /// Whether Nagle's algorithm may delay lines (`TCP_NODELAY` off). Default: no.
    pub nagle: bool,
    /// The PROXY header with which each connection begins. Default: `None`.
    #[serde(default)]
    pub proxy: Option<ProxyHeader>,
    /// TLS of every connection. Default: `None`, bytes go as they are.
    #[serde(default)]
    pub tls: Option<TlsPlan>,
    /// The seed of `{rand:N}`: the same seed gives the same bytes.
    pub seed: u64,
    /// The addresses that `sources` resolved to; set before worker processes start.
    #[serde(default)]
    pub(crate) bound: Vec<IpAddr>,
}

/// What well-behaved connections do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Mode {
    /// Sends lines as fast as the connection takes them.
    Flood,
    /// Keeps `window` lines in flight: sends a line for every reply.
    PingPong {
        /// Lines in flight on each connection.
        window: u32,
    },
    /// Sends on a fixed schedule, whether replies arrive or not (an open loop).
    Paced {
        /// Lines per second of all connections together.
        rate: f64,
    },
    /// Sends nothing during the run, then one line on each connection.
    Idle,
    /// A few connections publish, and all others receive and check every message.
    Fanout {
        /// How publishers pace their messages.
        pace: FanoutPace,
    },
}

impl Mode {
    /// The mode as `--mode` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::PingPong { .. } => "ping-pong",
            Self::Paced { .. } => "paced",
            Self::Idle => "idle",
            Self::Fanout { .. } => "fanout",
        }
    }
}

impl Plan {
    /// A plan with the default of every field.
    pub fn new(target: TargetAddr) -> Self {
        Self {
            targets: vec![target],
            connections: 1,
            connect_rate: None,
            connect_timeout: Duration::from_secs(10),
            duration: Duration::from_secs(10),
            mode: Mode::PingPong { window: 1 },
            message: "ping\\n".to_owned(),
            expect: None,
            verify: false,
            fanout: Fanout::default(),
            mix: Vec::new(),
            bad_client_interval: Duration::from_secs(1),
            threads: None,
            processes: None,
            sources: SourceAddrs::Auto,
            in_flight: InFlightLimit::Auto,
            reply_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            nagle: false,
            proxy: None,
            tls: None,
            seed: 0x7061_7463_6820_2131,
            bound: Vec::new(),
        }
    }

    /// Whether lines follow a schedule.
    pub(crate) fn is_paced(&self) -> bool {
        matches!(self.mode, Mode::Paced { .. } | Mode::Fanout { pace: FanoutPace::Rate(_) })
    }

    /// The target of connection `id`.
    pub(crate) fn target(&self, id: u32) -> &TargetAddr {
        &self.targets[id as usize % self.targets.len()]
    }

    /// The names of all targets.
    pub fn target_names(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// The number of connections with a behavior.
    pub fn connections_as(&self, behavior: ClientBehavior) -> u32 {
        if self.mix.is_empty() {
            return if behavior == ClientBehavior::WellBehaved { self.connections } else { 0 };
        }
        self.mix.iter().filter(|g| g.behavior == behavior).map(|g| g.connections).sum()
    }
}
