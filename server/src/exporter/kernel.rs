//! The kernel's counts of connections that the server has not accepted, in its own network namespace.

use towline_host::{AcceptQueue, AcceptQueueReader, ProcFile};

use super::family::{Values, counter, gauge};

/// The kernel's numbers; 0 where it does not provide them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) accept_queue: AcceptQueue,
    pub(super) listen_overflows: u64,
    pub(super) listen_drops: u64,
    pub(super) abort_on_memory: u64,
}

/// Reads the kernel's numbers.
#[derive(Debug)]
pub(super) struct KernelReader {
    netstat: ProcFile,
    accept_queue: AcceptQueueReader,
}

impl Default for KernelReader {
    fn default() -> Self {
        Self {
            netstat: ProcFile::open("/proc/self/net/netstat"),
            accept_queue: AcceptQueueReader::default(),
        }
    }
}

impl KernelReader {
    pub(super) fn read(&self, port: Option<u16>) -> Kernel {
        let netstat = self.netstat.text();
        Kernel {
            accept_queue: port
                .map_or_else(AcceptQueue::default, |port| self.accept_queue.read(port)),
            listen_overflows: tcp_ext(&netstat, "ListenOverflows"),
            listen_drops: tcp_ext(&netstat, "ListenDrops"),
            abort_on_memory: tcp_ext(&netstat, "TCPAbortOnMemory"),
        }
    }
}

/// A value of the two `TcpExt` lines: the first has the names, the second the numbers.
fn tcp_ext(netstat: &str, name: &str) -> u64 {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find_map(|(at, value)| (at == name).then(|| value.parse().ok())?)
        .unwrap_or(0)
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let netstat = "TcpExt: A ListenDrops B\nTcpExt: 1 22 3\nIpExt: X\nIpExt: 1\n";
        assert_eq!(tcp_ext(netstat, "ListenDrops"), 22);
        assert_eq!(tcp_ext(netstat, "Absent"), 0);
        assert_eq!(tcp_ext("", "ListenDrops"), 0);
    }
}
