//! The host: what kind it is, and the kernel's network counters.

use std::collections::BTreeMap;
use std::fs;

use rustix::process::{Resource, getrlimit};
use serde::Serialize;

use super::process::kib;

/// Kernel counters that stay unchanged during a clean run. They belong to the whole host: traffic of
/// other programs moves them too.
#[derive(Clone, Debug, Default)]
pub(super) struct KernelCounters(BTreeMap<&'static str, u64>);

/// The file, the table and the column of a counter, and its name in reports.
const WATCHED: [(&str, &str, &str, &str); 5] = [
    ("/proc/net/netstat", "TcpExt", "ListenOverflows", "listen_overflows"),
    ("/proc/net/netstat", "TcpExt", "ListenDrops", "listen_drops"),
    ("/proc/net/netstat", "TcpExt", "TCPAbortOnMemory", "aborts_on_memory"),
    ("/proc/net/netstat", "TcpExt", "TCPMemoryPressures", "memory_pressures"),
    ("/proc/net/snmp", "Tcp", "RetransSegs", "retransmits"),
];

impl KernelCounters {
    pub(super) fn read() -> Self {
        let mut all = BTreeMap::new();
        for (file, table, column, name) in WATCHED {
            let text = fs::read_to_string(file).unwrap_or_default();
            all.insert(name, cell(&text, table, column).unwrap_or(0));
        }
        let softnet = fs::read_to_string("/proc/net/softnet_stat").unwrap_or_default();
        all.insert("softnet_drops", softnet_drops(&softnet));
        Self(all)
    }

    /// The counters that grew since `earlier`, and by how much.
    pub(super) fn moved_since(&self, earlier: &Self) -> BTreeMap<String, u64> {
        self.0
            .iter()
            .map(|(name, now)| (name, now - earlier.0.get(name).copied().unwrap_or(0).min(*now)))
            .filter(|(_, by)| *by > 0)
            .map(|(name, by)| ((*name).to_owned(), by))
            .collect()
    }
}

/// A value of `/proc/net/netstat` or `snmp`. They hold pairs of lines, names and then values, both
/// preceded by the table's name.
fn cell(text: &str, table: &str, column: &str) -> Option<u64> {
    let mut rows = text.lines().filter_map(|l| l.strip_prefix(table)?.strip_prefix(':'));
    let (names, values) = (rows.next()?, rows.next()?);
    let place = names.split_whitespace().position(|name| name == column)?;
    values.split_whitespace().nth(place)?.parse().ok()
}

/// The sum of the second column, in hexadecimal: packets that a CPU dropped because its queue was full.
fn softnet_drops(text: &str) -> u64 {
    let dropped = |row: &str| u64::from_str_radix(row.split_whitespace().nth(1)?, 16).ok();
    text.lines().filter_map(dropped).sum()
}

/// The properties of a host on which its figures depend.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Host {
    pub(super) cpu: String,
    /// Cores this process may use.
    pub(super) cores: usize,
    pub(super) memory_gib: f64,
    pub(super) kernel: String,
    pub(super) descriptors: u64,
    pub(super) local_ports: String,
    pub(super) somaxconn: String,
    pub(super) tcp_mem_pages: String,
    pub(super) congestion_control: String,
    pub(super) version: &'static str,
}

impl Host {
    pub(super) fn read() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let knob = |path: &str| {
            read(&format!("/proc/sys/net/{path}")).split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let memory = kib(&read("/proc/meminfo"), "MemTotal:").unwrap_or_default();
        let cpuinfo = read("/proc/cpuinfo");
        let model = cpuinfo.lines().find_map(|l| l.strip_prefix("model name")?.split_once(": "));
        Self {
            cpu: model.map_or("unknown", |(_, name)| name.trim()).to_owned(),
            cores: cores(),
            memory_gib: (memory / 1024.0 / 1024.0 / 102.4).round() / 10.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            descriptors: descriptors(),
            local_ports: knob("ipv4/ip_local_port_range"),
            somaxconn: knob("core/somaxconn"),
            tcp_mem_pages: knob("ipv4/tcp_mem"),
            congestion_control: knob("ipv4/tcp_congestion_control"),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Cores this process may use: fewer than the host's when it is pinned.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The hard limit of descriptors a process.
pub(super) fn descriptors() -> u64 {
    getrlimit(Resource::Nofile).maximum.unwrap_or(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name() {
        let text = "TcpExt: SyncookiesSent ListenOverflows ListenDrops\nTcpExt: 3 17 19\nIpExt: A\nIpExt: 1\n";
        assert_eq!(cell(text, "TcpExt", "ListenOverflows"), Some(17));
        assert_eq!(cell(text, "TcpExt", "Nothing"), None);
        assert_eq!(softnet_drops("0000ffff 0000000a 0\n00000001 00000001 0\n"), 11);
    }

    #[test]
    fn only_counters_that_grew_are_reported() {
        let earlier = KernelCounters([("listen_drops", 5), ("retransmits", 7)].into());
        let now = KernelCounters([("listen_drops", 8), ("retransmits", 7)].into());
        assert_eq!(now.moved_since(&earlier), [("listen_drops".to_owned(), 3)].into());
        assert!(KernelCounters::read().0.contains_key("retransmits"));
    }
}
