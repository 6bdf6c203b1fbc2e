//! The kernel's counts of TCP in the network namespace of the server, and its memory for TCP.

use rustix::param::page_size;
use towline_host::{AcceptQueue, AcceptQueueReader, ProcFile};

use super::family::{Values, by, counter, gauge};

/// The kernel's numbers; 0 where it does not provide them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) accept_queue: AcceptQueue,
    listen_overflows: u64,
    listen_drops: u64,
    abort_on_memory: u64,
    retransmits: u64,
    timeouts: u64,
    backlog_drops: u64,
    receive_queue_drops: u64,
    zero_window_drops: u64,
    syncookies_sent: u64,
    memory_bytes: u64,
    memory_limits: Option<[u64; LEVELS.len()]>,
}

/// The numbers of `net.ipv4.tcp_mem`, in its order.
const LEVELS: [&str; 3] = ["min", "pressure", "max"];

/// Reads the kernel's numbers: each file once.
#[derive(Debug)]
pub(super) struct KernelReader {
    netstat: ProcFile,
    snmp: ProcFile,
    sockstat: ProcFile,
    tcp_mem: ProcFile,
    /// The last values of `tcp_mem`. `None` where the namespace does not show it: a container may not.
    memory_limits: Option<[u64; LEVELS.len()]>,
    accept_queue: AcceptQueueReader,
}

impl Default for KernelReader {
    fn default() -> Self {
        let tcp_mem = ProcFile::open("/proc/sys/net/ipv4/tcp_mem");
        Self {
            netstat: ProcFile::open("/proc/self/net/netstat"),
            snmp: ProcFile::open("/proc/self/net/snmp"),
            sockstat: ProcFile::open("/proc/self/net/sockstat"),
            memory_limits: limits_bytes(&tcp_mem.text()),
            tcp_mem,
            accept_queue: AcceptQueueReader::default(),
        }
    }
}

impl KernelReader {
    pub(super) fn read(&mut self, ports: &[u16]) -> Kernel {
        if self.memory_limits.is_some() {
            self.memory_limits = limits_bytes(&self.tcp_mem.text()).or(self.memory_limits);
        }
        let mut kernel = Kernel {
            accept_queue: self.accept_queue.read(ports),
            memory_bytes: memory_bytes(&self.sockstat.text()),
            memory_limits: self.memory_limits,
            ..Kernel::default()
        };
        for (name, value) in numbers(&self.netstat.text(), "TcpExt:") {
            match name {
                "ListenOverflows" => kernel.listen_overflows = value,
                "ListenDrops" => kernel.listen_drops = value,
                "TCPAbortOnMemory" => kernel.abort_on_memory = value,
                "TCPTimeouts" => kernel.timeouts = value,
                "TCPBacklogDrop" => kernel.backlog_drops = value,
                "TCPRcvQDrop" => kernel.receive_queue_drops = value,
                "TCPZeroWindowDrop" => kernel.zero_window_drops = value,
                "SyncookiesSent" => kernel.syncookies_sent = value,
                _ => {}
            }
        }
        let snmp = self.snmp.text();
        let retransmits = numbers(&snmp, "Tcp:").find(|(name, _)| *name == "RetransSegs");
        kernel.retransmits = retransmits.map_or(0, |(_, value)| value);
        kernel
    }
}

/// The counts of the two lines that begin with `group`: the first has the names, the second the numbers.
fn numbers<'a>(text: &'a str, group: &'a str) -> impl Iterator<Item = (&'a str, u64)> {
    let mut lines = text.lines().filter_map(move |line| line.strip_prefix(group));
    let (names, values) = (lines.next().unwrap_or(""), lines.next().unwrap_or(""));
    // Some of `snmp` are negative.
    let value = |text: &str| text.parse().unwrap_or(0);
    names.split_whitespace().zip(values.split_whitespace().map(value))
}

/// Memory of TCP sockets by `sockstat`, `TCP: inuse 3 orphan 0 tw 1 alloc 4 mem 25`: in pages.
fn memory_bytes(sockstat: &str) -> u64 {
    let mut words = sockstat
        .lines()
        .find_map(|line| line.strip_prefix("TCP:"))
        .unwrap_or("")
        .split_whitespace();
    let pages = words.find(|word| *word == "mem").and_then(|_| words.next()?.parse().ok());
    pages.unwrap_or(0_u64).saturating_mul(page_size() as u64)
}

/// The three numbers of `tcp_mem`, which are pages.
fn limits_bytes(tcp_mem: &str) -> Option<[u64; LEVELS.len()]> {
    let mut pages = tcp_mem.split_whitespace().map(|pages| pages.parse().ok());
    let mut next = || Some(u64::saturating_mul(pages.next()??, page_size() as u64));
    Some([next()?, next()?, next()?])
}

/// Adds the metrics of the kernel.
pub(super) fn add_families(
    kernel: &Kernel,
    add: &mut impl FnMut(&'static str, &'static str, Values),
) {
    add(
        "towline_accept_queue_length",
        "Connections that wait in the kernel's queue to be accepted.",
        gauge(kernel.accept_queue.length as f64),
    );
    add(
        "towline_accept_queue_limit",
        "Maximum number of connections in the kernel's queue: the smaller of server.backlog and \
         net.core.somaxconn.",
        gauge(kernel.accept_queue.limit as f64),
    );
    add(
        "towline_kernel_listen_overflows_total",
        "Connections that the kernel dropped because an accept queue was full, in this network \
         namespace.",
        counter(kernel.listen_overflows),
    );
    add(
        "towline_kernel_listen_drops_total",
        "Connections that the kernel dropped before they could be accepted, for any reason, in \
         this network namespace.",
        counter(kernel.listen_drops),
    );
    add(
        "towline_kernel_abort_on_memory_total",
        "Connections that the kernel aborted because TCP memory was exhausted, in this network \
         namespace.",
        counter(kernel.abort_on_memory),
    );
    for (name, help, value) in [
        (
            "towline_kernel_retransmits_total",
            "TCP segments that the kernel sent again, in this network namespace.",
            kernel.retransmits,
        ),
        (
            "towline_kernel_timeouts_total",
            "Retransmission timeouts of TCP, in this network namespace: a client waited for 200 ms or more \
             each time.",
            kernel.timeouts,
        ),
        (
            "towline_kernel_backlog_drops_total",
            "Packets that the kernel dropped because the socket was in use and its backlog was full, in this \
             network namespace.",
            kernel.backlog_drops,
        ),
        (
            "towline_kernel_receive_queue_drops_total",
            "Packets that the kernel dropped because the receive buffer of their socket was full, in this \
             network namespace.",
            kernel.receive_queue_drops,
        ),
        (
            "towline_kernel_zero_window_drops_total",
            "Packets that the kernel dropped because they came while the receive window was closed, in this \
             network namespace.",
            kernel.zero_window_drops,
        ),
        (
            "towline_kernel_syncookies_sent_total",
            "Connection requests answered with a SYN cookie because the queue of requests was full, in this \
             network namespace.",
            kernel.syncookies_sent,
        ),
    ] {
        add(name, help, counter(value));
    }
    add(
        "towline_kernel_tcp_memory_bytes",
        "Memory of the buffers of all TCP sockets of the host: the kernel has one pool for all network \
         namespaces.",
        gauge(kernel.memory_bytes as f64),
    );
    if let Some(limits) = kernel.memory_limits {
        let limit = |level| limits[LEVELS.iter().position(|at| *at == level).unwrap_or(0)] as f64;
        add(
            "towline_kernel_tcp_memory_limit_bytes",
            "Limits of towline_kernel_tcp_memory_bytes (net.ipv4.tcp_mem). pressure: the kernel shrinks \
             buffers above it. max: it drops packets and aborts connections. Absent where the network \
             namespace does not show them.",
            Values::Gauge(by("level", &LEVELS, |at| at, limit)),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_by_their_names() {
        let netstat = "TcpExt: A ListenDrops B\nTcpExt: 1 22 -3\nIpExt: X\nIpExt: 1\n";
        let all: Vec<_> = numbers(netstat, "TcpExt:").collect();
        assert_eq!(all, [("A", 1), ("ListenDrops", 22), ("B", 0)]);
        for text in ["", "TcpExt: A B\n", "Ip: A\nIp: 1\n"] {
            assert_eq!(numbers(text, "TcpExt:").count(), 0, "{text:?}");
        }
    }

    #[test]
    fn memory_is_in_pages_and_limits_are_three_or_none() {
        let page = page_size() as u64;
        let sockstat =
            "sockets: used 9\nTCP: inuse 3 orphan 0 tw 1 alloc 4 mem 25\nUDP: inuse 1 mem 7\n";
        assert_eq!(memory_bytes(sockstat), 25 * page);
        assert_eq!((memory_bytes(""), memory_bytes("TCP: inuse 3 mem\n")), (0, 0));
        assert_eq!(limits_bytes("1\t20\t300\n"), Some([page, 20 * page, 300 * page]));
        for text in ["", "1 2", "1 2 many"] {
            assert_eq!(limits_bytes(text), None, "{text:?}");
        }
    }
}
