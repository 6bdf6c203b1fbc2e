//! What the kernel did to connections before the server saw them, in the server's own network
//! namespace.

use std::io::{BufRead, BufReader};

use super::ProcFile;

/// Zero where the kernel does not tell.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kernel {
    pub(super) accept_queue: u64,
    pub(super) listen_overflows: u64,
    pub(super) listen_drops: u64,
    pub(super) abort_on_memory: u64,
}

/// Where the kernel tells.
#[derive(Debug)]
pub(super) struct Source {
    netstat: ProcFile,
    tables: [ProcFile; 2],
}

impl Default for Source {
    fn default() -> Self {
        Self {
            netstat: ProcFile::open("/proc/self/net/netstat"),
            tables: ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(ProcFile::open),
        }
    }
}

impl Source {
    pub(super) fn read(&self, port: Option<u16>) -> Kernel {
        let netstat = self.netstat.text();
        let accept_queue = port.map_or(0, |port| {
            self.tables
                .iter()
                .filter_map(ProcFile::rewound)
                .map(|table| accept_queue(BufReader::with_capacity(4096, table), port))
                .sum()
        });
        Kernel {
            accept_queue,
            listen_overflows: counter(&netstat, "ListenOverflows"),
            listen_drops: counter(&netstat, "ListenDrops"),
            abort_on_memory: counter(&netstat, "TCPAbortOnMemory"),
        }
    }
}

/// A value of the `TcpExt` pair of lines: names on the first, numbers on the second.
fn counter(netstat: &str, name: &str) -> u64 {
    let mut lines = netstat.lines().filter_map(|line| line.strip_prefix("TcpExt:"));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else { return 0 };
    names
        .split_whitespace()
        .zip(values.split_whitespace())
        .find_map(|(at, value)| (at == name).then(|| value.parse().ok())?)
        .unwrap_or(0)
}

/// Connections waiting on the listening sockets of a port.
///
/// The kernel lists listening sockets first and reports their queue as `rx_queue`, so reading ends
/// at the first socket that isn't one, however many connections there are.
fn accept_queue(table: impl BufRead, port: u16) -> u64 {
    const LISTEN: &str = "0A";
    let mut waiting = 0;
    for line in table.lines().skip(1) {
        let Ok(line) = line else { break };
        let mut fields = line.split_whitespace().skip(1);
        let (Some(local), Some(_remote), Some(state), Some(queues)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            break;
        };
        if state != LISTEN {
            break;
        }
        let hex = |text: Option<&str>| text.and_then(|text| u64::from_str_radix(text, 16).ok());
        if hex(local.rsplit(':').next()) == Some(u64::from(port)) {
            waiting += hex(queues.rsplit(':').next()).unwrap_or(0);
        }
    }
    waiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_queue_is_read_from_listening_sockets_only() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr\n\
                     0: 0100007F:2328 00000000:0000 0A 00000000:00000005 00:0 0 0 0\n\
                     1: 0100007F:0050 00000000:0000 0A 00000000:00000007 00:0 0 0 0\n\
                     2: 0100007F:2328 0100007F:A000 01 00000000:00000900 00:0 0 0 0\n";
        assert_eq!(accept_queue(table.as_bytes(), 9000), 5);
        assert_eq!(accept_queue("nonsense\n".as_bytes(), 9000), 0);
    }

    #[test]
    fn a_counter_is_found_by_its_name() {
        let netstat = "TcpExt: A ListenDrops B\nTcpExt: 1 22 3\nIpExt: X\nIpExt: 1\n";
        assert_eq!(counter(netstat, "ListenDrops"), 22);
        assert_eq!(counter(netstat, "Absent"), 0);
        assert_eq!(counter("", "ListenDrops"), 0);
    }
}
