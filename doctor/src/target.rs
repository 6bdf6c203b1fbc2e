//! The number and kind of connections to judge a host for.

use towline_config::Settings;
use towline_host::{LISTEN_SOCKETS_MAX, PROCESSES_MAX, descriptors_reserved};

use super::{Facts, cost};

/// Seconds after a restart within which all clients reconnect. Default for the burst.
const RETURN_SECONDS: u64 = 10;
/// Smallest burst, in connections per second.
const BURST_MIN: u64 = 100;
/// Connections with bytes in flight, in percent. Default: 10.
const ACTIVE_PERCENT: u64 = 10;
/// Longest pause of the acceptor that a burst must survive, in milliseconds.
const PAUSE_MS: u64 = 500;
/// Shortest accept queue worth configuring: the kernel's own default.
const QUEUE_MIN: u64 = 4_096;
/// Descriptors of a load generator process that are not for connections.
const GENERATOR_ASIDE: u64 = 64;
/// Descriptors of a proxy process that are not for connections.
const PROXY_ASIDE: u64 = 256;
/// Source addresses that the generator takes from the loopback network when ports run short.
const LOOPBACK_ADDRESSES: u64 = 65_536;

/// The program that holds the connections on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// `towline serve`, its peers elsewhere.
    Server,
    /// `towline load`, the server elsewhere.
    Load,
    /// Both on this host, over the loopback: two sockets a connection.
    Both,
    /// A proxy between them: two sockets a connection.
    Proxy,
}

impl Side {
    /// The name in lower case, as on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Load => "load",
            Self::Both => "both",
            Self::Proxy => "proxy",
        }
    }

    pub(super) const fn serves(self) -> bool {
        matches!(self, Self::Server | Self::Both)
    }

    pub(super) const fn loads(self) -> bool {
        matches!(self, Self::Load | Self::Both)
    }

    /// Ends of a connection that are on this host.
    pub(super) const fn ends(self) -> u64 {
        match self {
            Self::Server | Self::Load => 1,
            Self::Both | Self::Proxy => 2,
        }
    }
}

/// Number of processes over which the connections are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessCount {
    /// Not given: judged with one, and the prediction says how many suffice.
    Unspecified,
    /// As many as the descriptor limit requires.
    Auto,
    /// This many.
    Exactly(u64),
}

/// The connections to judge a host for. Start from [`Target::new`] and set what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Open connections.
    pub connections: u64,
    /// New connections per second at the peak.
    pub burst: u64,
    /// The program that holds them.
    pub side: Side,
    /// Number of processes over which they are spread.
    pub processes: ProcessCount,
    /// Connections with bytes in flight, in percent.
    pub active_percent: u64,
    /// Lines per second over all connections.
    pub lines_per_second: u64,
    /// Source addresses of outgoing connections. `None`: one, or on the loopback interface as many as
    /// needed.
    pub sources: Option<u64>,
    /// Addresses and ports that outgoing connections lead to.
    pub targets: u64,
    /// Whether clients speak TLS to the server. Default: whether the settings have a certificate.
    pub tls: bool,
    /// The settings of the server.
    pub settings: Settings,
}

impl Target {
    /// A target of `connections`, with the defaults: all reconnect within ten seconds, and one in ten
    /// is busy with a line per second.
    pub fn new(connections: u64, side: Side, settings: Settings) -> Self {
        Self {
            connections,
            burst: (connections / RETURN_SECONDS).max(BURST_MIN),
            side,
            processes: ProcessCount::Unspecified,
            active_percent: ACTIVE_PERCENT,
            lines_per_second: connections * ACTIVE_PERCENT / 100,
            sources: None,
            targets: 1,
            tls: !settings.tls.cert.is_empty(),
            settings,
        }
    }

    /// Serving threads in each of `processes` processes: one per core in total.
    pub(super) fn threads(&self, facts: &Facts, processes: u64) -> u64 {
        let share = facts.cores.unwrap_or(1) / processes.max(1);
        self.settings.server.threads.map_or(share.max(1), |threads| threads.get().into())
    }

    /// Descriptors that each of `processes` processes needs beside those of its connections.
    pub(super) fn descriptors_aside(&self, facts: &Facts, processes: u64) -> u64 {
        match self.side {
            Side::Server | Side::Both => {
                descriptors_reserved(self.threads(facts, processes) as usize)
            }
            Side::Load => GENERATOR_ASIDE,
            Side::Proxy => PROXY_ASIDE,
        }
    }

    /// Descriptors per connection in one process: a proxy holds both ends.
    pub(super) const fn descriptors_each(&self) -> u64 {
        match self.side {
            Side::Proxy => 2,
            Side::Server | Side::Load | Side::Both => 1,
        }
    }

    /// Connections for which each of `processes` processes has descriptors.
    pub(super) fn process_holds(&self, facts: &Facts, processes: u64) -> Option<u64> {
        let left = facts.descriptors?.saturating_sub(self.descriptors_aside(facts, processes));
        Some(left / self.descriptors_each())
    }

    /// Processes that suffice for all connections, whatever was asked for. One process more can mean a
    /// thread fewer in each, hence a few more descriptors, so each number is tried, as in the server.
    pub(super) fn processes_needed(&self, facts: &Facts) -> u64 {
        let holds = |processes| self.process_holds(facts, processes).unwrap_or(u64::MAX).max(1);
        let enough =
            |processes: &u64| holds(*processes).saturating_mul(*processes) >= self.connections;
        let few = (1..=PROCESSES_MAX).find(enough);
        few.unwrap_or_else(|| self.connections.div_ceil(holds(PROCESSES_MAX)))
    }

    /// Processes for which the rows are judged. The generator starts as many as it needs by itself.
    pub(super) fn processes(&self, facts: &Facts) -> u64 {
        match (self.processes, self.side) {
            (ProcessCount::Exactly(count), _) => count.max(1),
            (ProcessCount::Auto, _) | (ProcessCount::Unspecified, Side::Load) => {
                self.processes_needed(facts).min(PROCESSES_MAX)
            }
            (ProcessCount::Unspecified, _) => 1,
        }
    }

    /// Connections that one accept queue must hold while the acceptor pauses.
    pub(super) fn queue_floor(&self, facts: &Facts) -> u64 {
        let queues = self.processes(facts).min(LISTEN_SOCKETS_MAX as u64);
        // The kernel spreads connections by hash, not evenly: allow twice the share.
        let uneven = if queues > 1 { 2 } else { 1 };
        (self.burst * PAUSE_MS / 1000 * uneven).div_ceil(queues)
    }

    /// The accept queue length to configure.
    pub(super) fn queue(&self, facts: &Facts) -> u64 {
        self.queue_floor(facts).max(QUEUE_MIN)
    }

    /// Local ports for outgoing connections, over all source addresses and targets.
    pub(super) fn ports(&self, facts: &Facts) -> Option<u64> {
        let range = "net.ipv4.ip_local_port_range";
        let (from, to) = (facts.sysctls.field(range, 0)?, facts.sysctls.field(range, 1)?);
        let reserved = facts.sysctls.text("net.ipv4.ip_local_reserved_ports").unwrap_or_default();
        let ports =
            (to + 1).saturating_sub(from).saturating_sub(reserved_within(reserved, from, to));
        Some(ports * self.source_addresses() * self.targets.max(1))
    }

    pub(super) fn source_addresses(&self) -> u64 {
        let default = if self.side == Side::Both { LOOPBACK_ADDRESSES } else { 1 };
        self.sources.unwrap_or(default).max(1)
    }

    /// Bytes of memory per quiet connection on this host, the kernel's included.
    pub(super) const fn bytes_quiet(&self) -> u64 {
        let (server, generator) = if self.tls {
            (cost::SERVER_PROCESS_TLS, cost::GENERATOR_PROCESS_TLS)
        } else {
            (cost::SERVER_PROCESS, cost::GENERATOR_PROCESS)
        };
        let processes = match self.side {
            Side::Server => server,
            Side::Load => generator,
            Side::Both => server + generator,
            // It passes TLS on.
            Side::Proxy => cost::PROXY_PROCESS,
        };
        processes + self.side.ends() * cost::KERNEL_END
    }

    /// Seconds of handshakes when all connections are made again: full, and resumed. `None` if they were
    /// not measured.
    pub fn reconnect_seconds(&self, facts: &Facts) -> Option<(f64, f64)> {
        let rates = facts.handshakes?;
        let seconds =
            |rate: f64| self.connections as f64 / (rate * facts.cores.unwrap_or(1) as f64);
        Some((seconds(rates.full), seconds(rates.resumed)))
    }

    /// Bytes of kernel buffers in use when as many connections are busy as expected.
    pub(super) fn bytes_busy(&self) -> u64 {
        let lowat = self.settings.socket.notsent_lowat.map(u64::from);
        let direction = lowat.unwrap_or(cost::ACTIVE_DIRECTION).max(4096);
        self.connections * self.active_percent / 100 * 2 * direction
    }

    /// Bytes of memory for processes, connections and buffers.
    pub(super) fn bytes(&self, facts: &Facts) -> u64 {
        self.processes(facts) * cost::PROCESS_BASE
            + self.connections * self.bytes_quiet()
            + self.bytes_busy()
    }
}

/// Number of ports of the range `from` to `to` that a list such as `8080,9000-9005` reserves.
fn reserved_within(list: &str, from: u64, to: u64) -> u64 {
    let within = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some((last.min(to) + 1).saturating_sub(first.max(from)))
    };
    list.split(',').filter_map(within).sum()
}
