//! What the host is to hold.

use towline_config::Settings;
use towline_host::{LISTEN_SOCKETS_MAX, PROCESSES_MAX, descriptors_reserved};

use super::{Facts, cost};

/// Everybody is back within so many seconds of a restart, unless told otherwise.
const RETURN_SECONDS: u64 = 10;
/// A burst is never taken for smaller than this.
const BURST_MIN: u64 = 100;
/// Connections on which bytes are under way, in percent, unless told otherwise.
const ACTIVE_PERCENT: u64 = 10;
/// The longest pause of the acceptor that a burst has to survive, in milliseconds.
const PAUSE_MS: u64 = 500;
/// The shortest queue worth asking for: what the kernel itself begins with.
const QUEUE_MIN: u64 = 4_096;
/// Descriptors a process of the load generator keeps for itself.
const GENERATOR_ASIDE: u64 = 64;
/// Descriptors a proxy keeps for itself.
const PROXY_ASIDE: u64 = 256;
/// Addresses the generator takes from the loopback network when ports run short.
const LOOPBACK_ADDRESSES: u64 = 65_536;

/// Who is to hold the connections.
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
    /// In one lower-case word.
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

/// Over how many processes the connections are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// Nobody said: it is judged with one, and the prediction tells how many would do.
    Unsaid,
    /// As many as the descriptor limit makes necessary.
    Auto,
    /// So many.
    Exactly(u64),
}

/// What the host is to hold. Start from [`Target::new`] and set what differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// Open connections.
    pub connections: u64,
    /// New connections a second at the peak.
    pub burst: u64,
    /// Who holds them.
    pub side: Side,
    /// Over how many processes.
    pub processes: Processes,
    /// Connections on which bytes are under way, in percent.
    pub active_percent: u64,
    /// Lines a second over all connections.
    pub lines_per_second: u64,
    /// Source addresses of outgoing connections; `None` is one, or on the loopback as many as it
    /// takes.
    pub sources: Option<u64>,
    /// Addresses and ports that outgoing connections lead to.
    pub targets: u64,
    /// What the server runs with.
    pub settings: Settings,
}

impl Target {
    /// So many connections, a burst as if all came back within ten seconds, one in ten of them busy
    /// with a line a second.
    pub fn new(connections: u64, side: Side, settings: Settings) -> Self {
        Self {
            connections,
            burst: (connections / RETURN_SECONDS).max(BURST_MIN),
            side,
            processes: Processes::Unsaid,
            active_percent: ACTIVE_PERCENT,
            lines_per_second: connections * ACTIVE_PERCENT / 100,
            sources: None,
            targets: 1,
            settings,
        }
    }

    /// Threads that serve lines, in each of so many processes: a thread a core in all.
    pub(super) fn threads(&self, facts: &Facts, processes: u64) -> u64 {
        let share = facts.cores.unwrap_or(1) / processes.max(1);
        self.settings.server.threads.map_or(share.max(1), |threads| threads.get().into())
    }

    /// Descriptors each of so many processes needs beside its connections.
    pub(super) fn descriptors_aside(&self, facts: &Facts, processes: u64) -> u64 {
        match self.side {
            Side::Server | Side::Both => {
                descriptors_reserved(self.threads(facts, processes) as usize)
            }
            Side::Load => GENERATOR_ASIDE,
            Side::Proxy => PROXY_ASIDE,
        }
    }

    /// Descriptors a connection takes in one process: a proxy has both of its ends.
    pub(super) const fn descriptors_each(&self) -> u64 {
        match self.side {
            Side::Proxy => 2,
            Side::Server | Side::Load | Side::Both => 1,
        }
    }

    /// Connections each of so many processes can have descriptors for.
    pub(super) fn process_holds(&self, facts: &Facts, processes: u64) -> Option<u64> {
        let left = facts.descriptors?.saturating_sub(self.descriptors_aside(facts, processes));
        Some(left / self.descriptors_each())
    }

    /// Processes that hold them all, however many were asked for. One more can mean a thread fewer
    /// in each, and so some descriptors more, so it is tried, as the server does.
    pub(super) fn processes_needed(&self, facts: &Facts) -> u64 {
        let holds = |processes| self.process_holds(facts, processes).unwrap_or(u64::MAX).max(1);
        let enough =
            |processes: &u64| holds(*processes).saturating_mul(*processes) >= self.connections;
        let few = (1..=PROCESSES_MAX).find(enough);
        few.unwrap_or_else(|| self.connections.div_ceil(holds(PROCESSES_MAX)))
    }

    /// Processes that the rows are judged with. The generator makes itself as many as it needs.
    pub(super) fn processes(&self, facts: &Facts) -> u64 {
        match (self.processes, self.side) {
            (Processes::Exactly(count), _) => count.max(1),
            (Processes::Auto, _) | (Processes::Unsaid, Side::Load) => {
                self.processes_needed(facts).min(PROCESSES_MAX)
            }
            (Processes::Unsaid, _) => 1,
        }
    }

    /// How many connections one accept queue has to take while nobody accepts.
    pub(super) fn queue_floor(&self, facts: &Facts) -> u64 {
        let queues = self.processes(facts).min(LISTEN_SOCKETS_MAX as u64);
        // The kernel spreads by hash, not evenly: twice the share.
        let uneven = if queues > 1 { 2 } else { 1 };
        (self.burst * PAUSE_MS / 1000 * uneven).div_ceil(queues)
    }

    /// The length of queue to ask for.
    pub(super) fn queue(&self, facts: &Facts) -> u64 {
        self.queue_floor(facts).max(QUEUE_MIN)
    }

    /// Ports of this host that outgoing connections can come from, over all source addresses.
    pub(super) fn ports(&self, facts: &Facts) -> Option<u64> {
        let range = "net.ipv4.ip_local_port_range";
        let (from, to) = (facts.sysctls.field(range, 0)?, facts.sysctls.field(range, 1)?);
        let reserved = facts.sysctls.text("net.ipv4.ip_local_reserved_ports").unwrap_or_default();
        let ports =
            (to + 1).saturating_sub(from).saturating_sub(reserved_within(reserved, from, to));
        Some(ports * self.source_addresses() * self.targets.max(1))
    }

    pub(super) fn source_addresses(&self) -> u64 {
        let unsaid = if self.side == Side::Both { LOOPBACK_ADDRESSES } else { 1 };
        self.sources.unwrap_or(unsaid).max(1)
    }

    /// Bytes of memory a quiet connection takes on this host, kernel included.
    pub(super) const fn bytes_quiet(&self) -> u64 {
        let processes = match self.side {
            Side::Server => cost::SERVER_PROCESS,
            Side::Load => cost::GENERATOR_PROCESS,
            Side::Both => cost::SERVER_PROCESS + cost::GENERATOR_PROCESS,
            Side::Proxy => cost::PROXY_PROCESS,
        };
        processes + self.side.ends() * cost::KERNEL_END
    }

    /// Bytes of kernel buffers that are filled when as many connections are busy as expected.
    pub(super) fn bytes_busy(&self) -> u64 {
        let lowat = self.settings.socket.notsent_lowat.map(u64::from);
        let direction = lowat.unwrap_or(cost::ACTIVE_DIRECTION).max(4096);
        self.connections * self.active_percent / 100 * 2 * direction
    }

    /// Bytes of memory for everything.
    pub(super) fn bytes(&self, facts: &Facts) -> u64 {
        self.processes(facts) * cost::PROCESS_BASE
            + self.connections * self.bytes_quiet()
            + self.bytes_busy()
    }
}

/// How many ports of the range a list such as `8080,9000-9005` takes out.
fn reserved_within(list: &str, from: u64, to: u64) -> u64 {
    let within = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        Some((last.min(to) + 1).saturating_sub(first.max(from)))
    };
    list.split(',').filter_map(within).sum()
}
