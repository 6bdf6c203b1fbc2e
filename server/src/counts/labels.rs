//! Label values of the metrics that the server adds to those of its connections. Each is a closed set.

/// Why a connection is rejected. A closed set: no input adds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rejection {
    /// The server is at `limits.connections` and `limits.admission` is `reject`.
    MaxConnections,
    /// The client's address is at `limits.connections_per_ip`.
    PerIp,
    /// `limits.accept_rate` is reached and `limits.admission` is `reject`.
    Rate,
    /// The process or the host has no descriptor left.
    FdExhausted,
    /// Memory is short and `limits.admission` is `reject`.
    Memory,
    /// The client's address is in `limits.deny`, or not in `limits.allow`.
    Denied,
    /// The client's address is at `limits.accept_rate_per_ip`.
    PerIpRate,
}

impl Rejection {
    /// All values, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::MaxConnections,
        Self::PerIp,
        Self::Rate,
        Self::FdExhausted,
        Self::Memory,
        Self::Denied,
        Self::PerIpRate,
    ];

    /// The value of the label `reason`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::PerIp => "per_ip",
            Self::Rate => "rate",
            Self::FdExhausted => "fd_exhausted",
            Self::Memory => "memory",
            Self::Denied => "denied",
            Self::PerIpRate => "per_ip_rate",
        }
    }
}

/// Whether a process that serves lines does. A closed set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ProcessState {
    /// It takes new connections.
    Serving,
    /// It stands still: the supervisor had no message from it for seconds.
    Unresponsive,
    /// It starts, has ended, or drains to be replaced.
    Missing,
}

impl ProcessState {
    /// All values, in the order of their discriminants.
    pub const ALL: [Self; 3] = [Self::Serving, Self::Unresponsive, Self::Missing];

    /// The value of the label `state`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Unresponsive => "unresponsive",
            Self::Missing => "missing",
        }
    }
}

/// Whose fault it is that replies wait. A closed set.
#[cfg(feature = "admin")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum WriteWaitCause {
    /// The peer does not read, or too slowly: its receive window is closed.
    Peer,
    /// The network: segments are lost, or a long way limits how much is in flight.
    Network,
    /// The server's own limit of unsent bytes in the kernel, `socket.notsent_lowat`, or its send buffer.
    Buffer,
    /// None of these, not looked at, or over before it could be.
    Unknown,
}

#[cfg(feature = "admin")]
impl WriteWaitCause {
    /// All values, in the order of their discriminants.
    pub(crate) const ALL: [Self; 4] = [Self::Peer, Self::Network, Self::Buffer, Self::Unknown];

    /// The value of the label `cause`.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Network => "network",
            Self::Buffer => "buffer",
            Self::Unknown => "unknown",
        }
    }

    /// The cause with this label.
    pub(crate) fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.label() == label)
    }
}

/// Values of the label `errno`: errors of accept(2). The last one covers all others.
pub(crate) const ERRNOS: [&str; 6] =
    ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "other"];

/// Values of the label `step`, also used in the log: the steps against overload.
pub(crate) const STEPS: [&str; 3] = ["shrink", "shed", "refuse"];
