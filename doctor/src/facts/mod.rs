//! What is so on this host: read, not judged. Whatever cannot be read is absent, never assumed.

mod read;
mod sysctls;

use std::{collections::BTreeMap, path::Path};

pub use sysctls::Sysctls;
use towline_host::Cgroup;

/// Everything the host says about its limits, at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// The kernel's knobs.
    pub sysctls: Sysctls,
    /// The hard limit of descriptors a process, to which the server raises the soft one.
    pub descriptors: Option<u64>,
    /// Descriptors open on the whole host.
    pub files_open: Option<u64>,
    /// Cores this process may use.
    pub cores: Option<u64>,
    /// Whether ports below `ip_unprivileged_port_start` may be listened on.
    pub privileged_ports: Option<bool>,
    /// The host's memory.
    pub memory: Memory,
    /// What the control group allows.
    pub group: Cgroup,
    /// What TCP uses in this network namespace.
    pub tcp: Option<TcpUse>,
    /// Counters of this network namespace since it began, by the kernel's names.
    pub counters: BTreeMap<String, u64>,
    /// What became of packets that came in, over all processors.
    pub softnet: Option<Softnet>,
    /// The clock that time is read from.
    pub clocksource: Option<String>,
    /// When memory is backed by huge pages: `always`, `madvise` or `never`.
    pub huge_pages: Option<String>,
    /// What this runs in.
    pub place: Place,
}

/// The host's memory, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// What could be had without swapping.
    pub available: Option<u64>,
    /// Swap space.
    pub swap: Option<u64>,
}

/// What TCP uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpUse {
    /// Sockets, open or about to be.
    pub sockets: u64,
    /// Sockets whose owner has gone while bytes were unsent.
    pub orphans: u64,
    /// Sockets in TIME_WAIT.
    pub time_wait: u64,
    /// Pages of socket buffers, of the whole host.
    pub pages: u64,
}

/// Sums of `/proc/net/softnet_stat` since the host began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Softnet {
    /// Packets dropped because a processor's queue was full.
    pub drops: u64,
    /// Times a processor stopped with packets left to take.
    pub squeezes: u64,
}

/// What a process runs in, as far as it concerns where limits are set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    /// Nothing that sets limits of its own.
    #[default]
    Bare,
    /// A unit of systemd.
    Systemd,
    /// A container of Docker or the like.
    Container,
    /// A pod.
    Kubernetes,
}

impl Place {
    /// In one lower-case word.
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
    /// Reads this host. Costs some eighty small files and never fails: what cannot be read is
    /// absent.
    pub fn read() -> Self {
        Self::read_under(Path::new("/"))
    }

    /// Reads `proc/`, `sys/` and the rest below `root` instead of `/`: another host's files, kept.
    pub fn read_under(root: &Path) -> Self {
        read::all(root)
    }

    /// Memory that is left to this process, the tighter of the host's and the control group's.
    pub fn memory_left(&self) -> Option<u64> {
        let group = self.group.memory.map(|memory| memory.left());
        [self.memory.available, group].into_iter().flatten().min()
    }

    /// Descriptors the host has left for everybody.
    pub fn files_left(&self) -> Option<u64> {
        Some(self.sysctls.number("fs.file-max")?.saturating_sub(self.files_open?))
    }

    /// Whether the network namespace is the host's own; the others lack the host's knobs.
    pub fn in_first_network(&self) -> bool {
        self.sysctls.text("net.ipv4.tcp_mem").is_some()
    }

    pub(super) fn counter(&self, name: &str) -> Option<u64> {
        self.counters.get(name).copied()
    }
}
