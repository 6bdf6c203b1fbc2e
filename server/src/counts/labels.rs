//! Label values of metrics that the server itself adds, each a closed set.

/// Why a connection is refused. Closed for good: no input adds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Rejection {
    /// `limits.connections` are open and `limits.admission` is `reject`.
    MaxConnections,
    /// `limits.connections_per_ip` are open from there.
    PerIp,
    /// `limits.accept_rate` is reached and `limits.admission` is `reject`.
    Rate,
    /// The process or the host has no descriptor left.
    FdExhausted,
    /// Memory is short and `limits.admission` is `reject`.
    Memory,
}

impl Rejection {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 5] =
        [Self::MaxConnections, Self::PerIp, Self::Rate, Self::FdExhausted, Self::Memory];

    /// The label under which it is exported.
    pub const fn label(self) -> &'static str {
        match self {
            Self::MaxConnections => "max_connections",
            Self::PerIp => "per_ip",
            Self::Rate => "rate",
            Self::FdExhausted => "fd_exhausted",
            Self::Memory => "memory",
        }
    }
}

/// The errors of accept(2) told apart in metrics; the last stands for all others.
pub(crate) const ERRNOS: [&str; 6] =
    ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "other"];

/// The steps of the ladder, as they are called in metrics and in the log.
pub(crate) const STEPS: [&str; 3] = ["shrink", "shed", "refuse"];
