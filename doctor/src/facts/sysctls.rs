//! Kernel parameters under `/proc/sys`.

use std::{collections::BTreeMap, fs, io, os::unix::fs::PermissionsExt as _, path::Path};

/// The parameters to read: those that some row uses.
const READ: [&str; 35] = [
    "fs.epoll.max_user_watches",
    "fs.file-max",
    "fs.nr_open",
    "kernel.pid_max",
    "kernel.threads-max",
    "net.core.busy_poll",
    "net.core.busy_read",
    "net.core.default_qdisc",
    "net.core.netdev_budget",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_abort_on_overflow",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.tcp_ehash_entries",
    "net.ipv4.tcp_fastopen",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_max_orphans",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_max_tw_buckets",
    "net.ipv4.tcp_mem",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_synack_retries",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_tw_reuse",
    "net.ipv4.tcp_wmem",
    "net.netfilter.nf_conntrack_count",
    "net.netfilter.nf_conntrack_max",
    "net.netfilter.nf_conntrack_tcp_timeout_established",
    "vm.max_map_count",
];

/// Kernel parameters by name, such as `net.core.somaxconn`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sysctls(BTreeMap<&'static str, Sysctl>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sysctl {
    value: String,
    settable: bool,
}

/// Whether root could write the parameter. The kernel shows parameters that a namespace must not set as
/// read-only even to root; container engines mount the others read-only. Opening a file sets nothing.
fn settable(path: &Path) -> bool {
    let writable = fs::metadata(path).is_ok_and(|m| m.permissions().mode() & 0o200 != 0);
    let opened = fs::OpenOptions::new().write(true).open(path);
    let sealed = opened.is_err_and(|e| e.kind() == io::ErrorKind::ReadOnlyFilesystem);
    writable && !sealed
}

impl Sysctls {
    pub(super) fn read(root: &Path) -> Self {
        let read = |name: &'static str| {
            let path = root.join("proc/sys").join(name.replace('.', "/"));
            let text = fs::read_to_string(&path).ok()?;
            let value = text.split_whitespace().collect::<Vec<_>>().join(" ");
            let settable = settable(&path);
            Some((name, Sysctl { value, settable }))
        };
        Self(READ.into_iter().filter_map(read).collect())
    }

    /// The value, its fields separated by one blank; `None` where it cannot be read.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|sysctl| sysctl.value.as_str())
    }

    /// The only or first number of the value.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.field(name, 0)
    }

    /// The number at `index`, counted from 0.
    pub fn field(&self, name: &str, index: usize) -> Option<u64> {
        self.text(name)?.split(' ').nth(index)?.parse().ok()
    }

    /// Whether this parameter is writable here, given the privilege.
    pub fn settable(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|sysctl| sysctl.settable)
    }
}
