//! What this host says about its limits: read, not judged. A value that cannot be read is absent, never
//! assumed.

mod read;
mod sysctls;

use std::{collections::BTreeMap, path::Path};

pub use sysctls::Sysctls;
use towline_host::Cgroup;

use crate::Handshakes;

/// The limits, counters and environment of a host, read at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Kernel parameters.
    pub sysctls: Sysctls,
    /// Hard limit of descriptors per process, to which the server raises the soft one.
    pub descriptors: Option<u64>,
    /// Descriptors open on the whole host.
    pub files_open: Option<u64>,
    /// Cores this process may use.
    pub cores: Option<u64>,
    /// Whether this process may listen on ports below `ip_unprivileged_port_start`.
    pub privileged_ports: Option<bool>,
    /// The host's memory.
    pub memory: Memory,
    /// Limits of the control group.
    pub cgroup: Cgroup,
    /// TCP's use of sockets and memory in this network namespace.
    pub tcp: Option<TcpUse>,
    /// `TcpExt` counters of this network namespace since it was created, by the kernel's names.
    pub counters: BTreeMap<String, u64>,
    /// Counters of received packets, over all processors.
    pub softnet: Option<Softnet>,
    /// The kernel's clock source.
    pub clocksource: Option<String>,
    /// The mode of transparent huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// TLS handshakes of a core, where they were measured: reading the facts does not.
    pub handshakes: Option<Handshakes>,
    /// The environment in which this process runs.
    pub environment: Environment,
}

/// The host's memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Memory available without swapping.
    pub available: Option<u64>,
    /// Swap space.
    pub swap: Option<u64>,
}

/// TCP's use of sockets and memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpUse {
    /// Sockets, open or about to be.
    pub sockets: u64,
    /// Sockets without a process whose bytes are not all sent.
    pub orphans: u64,
    /// Sockets in TIME_WAIT.
    pub time_wait: u64,
    /// Pages of socket buffers on the whole host.
    pub pages: u64,
}

/// Sums of `/proc/net/softnet_stat` since boot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Softnet {
    /// Packets dropped because a processor's queue was full.
    pub drops: u64,
    /// Times a processor stopped polling with packets left.
    pub squeezes: u64,
}

/// The environment of a process, which decides where its limits are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Environment {
    /// None that sets limits of its own.
    #[default]
    Bare,
    /// A unit of systemd.
    Systemd,
    /// A container of Docker or the like.
    Container,
    /// A pod.
    Kubernetes,
}

impl Environment {
    /// The name in lower case, as printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Systemd => "systemd",
            Self::Container => "container",
            Self::Kubernetes => "kubernetes",
        }
    }
}

impl Facts {
    /// Reads this host. Opens some eighty small files and never fails: a value that cannot be read is
    /// absent.
    pub fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// Reads `proc/`, `sys/` and the rest below `root` instead of `/`: a copy of another host's files.
    pub fn read_under(root: &Path) -> Self {
        read::all(root)
    }

    /// Memory left for this process: the lesser of the host's and the control group's.
    pub fn memory_left(&self) -> Option<u64> {
        let group = self.cgroup.memory.map(|memory| memory.left());
        [self.memory.available, group].into_iter().flatten().min()
    }

    /// Descriptors that the whole host has left.
    pub fn files_left(&self) -> Option<u64> {
        Some(self.sysctls.number("fs.file-max")?.saturating_sub(self.files_open?))
    }

    /// Whether this is the host's own network namespace; others do not show host-wide parameters.
    pub fn in_first_network(&self) -> bool {
        self.sysctls.text("net.ipv4.tcp_mem").is_some()
    }

    pub(super) fn counter(&self, name: &str) -> Option<u64> {
        self.counters.get(name).copied()
    }
}
