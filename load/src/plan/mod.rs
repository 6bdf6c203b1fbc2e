//! What a run is to do, as plain data that a worker process can be handed.

mod check;
mod client_behavior;
mod in_flight_limit;
mod mix;
mod source_addrs;
mod target_addr;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use client_behavior::ClientBehavior;
pub use in_flight_limit::InFlightLimit;
pub use mix::BehaviorGroup;
pub(crate) use mix::WeightedRoundRobin;
pub use source_addrs::SourceAddrs;
pub use target_addr::TargetAddr;

/// A load run. Start from [`Plan::new`] and set what differs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where to connect; with several, connections take them in turn.
    pub targets: Vec<TargetAddr>,
    /// Connections in all, over every process, bad clients included.
    pub connections: u32,
    /// Connects a second over every process; `None` is as fast as they are accepted.
    pub connect_rate: Option<f64>,
    /// How long one connect may take.
    pub connect_timeout: Duration,
    /// How long the load lasts once the ramp is over, as tcpkali counts it.
    pub duration: Duration,
    /// What a well-behaved connection does.
    pub mode: Mode,
    /// The message as written, with escapes and `{parts}`.
    pub message: String,
    /// The expected reply as written; `None` expects the message back.
    pub expect: Option<String>,
    /// Whether every reply is compared with what is expected.
    pub verify: bool,
    /// How many connections play which role; empty means that all are [`ClientBehavior::WellBehaved`].
    pub mix: Vec<BehaviorGroup>,
    /// How often a bad client does its bad thing.
    pub bad_client_interval: Duration,
    /// Threads a process; `None` shares the host's cores between the processes.
    pub threads: Option<u32>,
    /// Processes; `None` is as many as the descriptor limit makes necessary.
    pub processes: Option<u32>,
    /// Which addresses connections come from.
    pub sources: SourceAddrs,
    /// What each flooding connection may have sent without a reply.
    pub in_flight: InFlightLimit,
    /// How long a ping-pong connection waits for a reply before it goes on without.
    pub reply_timeout: Duration,
    /// How long replies may still flow in after the load has stopped.
    pub drain: Duration,
    /// Whether Nagle's algorithm may hold lines back (`TCP_NODELAY` off).
    pub nagle: bool,
    /// What `{rand:N}` is drawn from: the same seed gives the same bytes.
    pub seed: u64,
    /// The addresses `sources` came to; filled in before worker processes are started.
    #[serde(default)]
    pub(crate) bound: Vec<IpAddr>,
}

/// What a well-behaved connection does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Mode {
    /// Keeps the pipe full, whatever comes back.
    Flood,
    /// Keeps `window` lines in flight.
    PingPong {
        /// Lines in flight on each connection.
        window: u32,
    },
    /// Sends by the clock whatever comes back: `rate` lines a second over all connections.
    Paced {
        /// Lines a second over all connections.
        rate: f64,
    },
    /// Sends nothing until the end, then one line on each connection.
    Idle,
}

impl Mode {
    /// The mode as `--mode` spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flood => "flood",
            Self::PingPong { .. } => "ping-pong",
            Self::Paced { .. } => "paced",
            Self::Idle => "idle",
        }
    }
}

impl Plan {
    /// One connection, ping-pong, `ping\n`, ten seconds.
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
            mix: Vec::new(),
            bad_client_interval: Duration::from_secs(1),
            threads: None,
            processes: None,
            sources: SourceAddrs::Auto,
            in_flight: InFlightLimit::Auto,
            reply_timeout: Duration::from_secs(10),
            drain: Duration::from_secs(10),
            nagle: false,
            seed: 0x7061_7463_6820_2131,
            bound: Vec::new(),
        }
    }

    /// Where connection `id` connects to.
    pub(crate) fn target(&self, id: u32) -> &TargetAddr {
        &self.targets[id as usize % self.targets.len()]
    }

    /// The names of all targets.
    pub fn target_names(&self) -> String {
        self.targets.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    /// How many connections play `role`.
    pub fn connections_as(&self, behavior: ClientBehavior) -> u32 {
        if self.mix.is_empty() {
            return if behavior == ClientBehavior::WellBehaved { self.connections } else { 0 };
        }
        self.mix.iter().filter(|g| g.behavior == behavior).map(|g| g.connections).sum()
    }
}
