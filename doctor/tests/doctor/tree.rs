//! A host made of files.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use towline_doctor::{Facts, Row, Target, rows};

/// A host on which every row is in order for 100,000 connections in one process, on any side.
const AMPLE: &[(&str, &str)] = &[
    (
        "proc/self/limits",
        "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 1000000              files\n",
    ),
    ("proc/self/status", "Name:\ttowline\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n"),
    ("proc/self/cgroup", "0::/towline.slice\n"),
    (
        "proc/meminfo",
        "MemTotal:       33554432 kB\nMemAvailable:   32000000 kB\nSwapTotal:             0 kB\n",
    ),
    (
        "proc/net/sockstat",
        "sockets: used 12\nTCP: inuse 1 orphan 0 tw 3 alloc 2 mem 5\nUDP: inuse 0 mem 0\n",
    ),
    (
        "proc/net/netstat",
        "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPAbortOnMemory TCPTimeWaitOverflow\nTcpExt: 0 0 0 0 0\nIpExt: A\nIpExt: 1\n",
    ),
    (
        "proc/net/softnet_stat",
        "000c127b 00000000 00000000 00000000\n000c150c 00000000 00000000 00000000\n",
    ),
    ("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"),
    ("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"),
    ("proc/sys/fs/epoll/max_user_watches", "9000000\n"),
    ("proc/sys/fs/file-max", "9000000\n"),
    ("proc/sys/fs/file-nr", "1000\t0\t9000000\n"),
    ("proc/sys/fs/nr_open", "1048576\n"),
    ("proc/sys/kernel/pid_max", "4194304\n"),
    ("proc/sys/kernel/threads-max", "200000\n"),
    ("proc/sys/net/core/busy_poll", "0\n"),
    ("proc/sys/net/core/busy_read", "0\n"),
    ("proc/sys/net/core/default_qdisc", "fq\n"),
    ("proc/sys/net/core/netdev_budget", "300\n"),
    ("proc/sys/net/core/netdev_max_backlog", "10000\n"),
    ("proc/sys/net/core/rmem_max", "212992\n"),
    ("proc/sys/net/core/somaxconn", "65535\n"),
    ("proc/sys/net/core/wmem_max", "212992\n"),
    ("proc/sys/net/ipv4/ip_local_port_range", "1024\t65535\n"),
    ("proc/sys/net/ipv4/ip_local_reserved_ports", "\n"),
    ("proc/sys/net/ipv4/ip_unprivileged_port_start", "1024\n"),
    ("proc/sys/net/ipv4/tcp_abort_on_overflow", "0\n"),
    ("proc/sys/net/ipv4/tcp_congestion_control", "cubic\n"),
    ("proc/sys/net/ipv4/tcp_ehash_entries", "4194304\n"),
    ("proc/sys/net/ipv4/tcp_fastopen", "1\n"),
    ("proc/sys/net/ipv4/tcp_fin_timeout", "15\n"),
    ("proc/sys/net/ipv4/tcp_max_orphans", "131072\n"),
    ("proc/sys/net/ipv4/tcp_max_syn_backlog", "65535\n"),
    ("proc/sys/net/ipv4/tcp_max_tw_buckets", "262144\n"),
    ("proc/sys/net/ipv4/tcp_mem", "1000000\t2000000\t3000000\n"),
    ("proc/sys/net/ipv4/tcp_rmem", "4096\t16384\t1048576\n"),
    ("proc/sys/net/ipv4/tcp_slow_start_after_idle", "0\n"),
    ("proc/sys/net/ipv4/tcp_synack_retries", "2\n"),
    ("proc/sys/net/ipv4/tcp_syncookies", "1\n"),
    ("proc/sys/net/ipv4/tcp_tw_reuse", "1\n"),
    ("proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t262144\n"),
    ("proc/sys/net/netfilter/nf_conntrack_count", "10\n"),
    ("proc/sys/net/netfilter/nf_conntrack_max", "3000000\n"),
    ("proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established", "3600\n"),
    ("proc/sys/vm/max_map_count", "65530\n"),
];

/// Below it are the files of a host; gone when the test is.
pub(crate) struct Tree(PathBuf);

impl Tree {
    pub(crate) fn empty() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("host-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&root).unwrap();
        Self(root)
    }

    pub(crate) fn ample() -> Self {
        let tree = Self::empty();
        for (path, text) in AMPLE {
            tree.put(path, text);
        }
        tree
    }

    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn with(self, path: &str, text: &str) -> Self {
        self.put(path, text);
        self
    }

    pub(crate) fn without(self, path: &str) -> Self {
        fs::remove_file(self.0.join(path)).unwrap();
        self
    }

    pub(crate) fn facts(&self) -> Facts {
        Facts::read_under(&self.0)
    }

    #[track_caller]
    pub(crate) fn row(&self, target: &Target, name: &str) -> Row {
        let rows = rows(&self.facts(), target);
        rows.into_iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
