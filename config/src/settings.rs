//! Every setting, as plain data with the unit in the type. Nothing here reads a file or a clock.

use std::{fmt, net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

use crate::{
    edge::{ProxyMode, ProxyProtocol, Tls},
    listener::ListenerSettings,
    network_list::NetworkList,
    words::words,
};

/// Every setting of the server. What [`load`](crate::load) returns is valid as a whole.
///
/// `Settings::default()` has the built-in values; change fields of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Addresses, threads and processes.
    pub server: ServerSettings,
    /// Commands to the running server.
    pub admin: AdminSettings,
    /// What the server does with a line.
    pub workload: Workload,
    /// When replies are written.
    pub flush: Flush,
    /// How much the server takes on.
    pub limits: Limits,
    /// Messages that a program sends unasked.
    pub push: Push,
    /// Timeouts and deadlines.
    pub timeouts: Timeouts,
    /// How the server tells a quiet client from a dead one.
    pub heartbeat: Heartbeat,
    /// Options of accepted sockets.
    pub socket: SocketOptions,
    /// TLS on the line port.
    pub tls: Tls,
    /// The client's address behind a load balancer.
    pub proxy_protocol: ProxyProtocol,
    /// The log.
    pub log: Log,
}

impl Settings {
    /// Whether connections begin with a PROXY header that came by the entry `listener` of `server.listen`. One
    /// behind the last entry has no mode of its own.
    pub fn proxy_mode(&self, listener: usize) -> ProxyMode {
        let own = self.server.listen.get(listener).and_then(|listener| listener.proxy_protocol);
        own.unwrap_or(self.proxy_protocol.mode)
    }
}

/// `server.*`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerSettings {
    /// `server.listen`: the listeners, at least one. Default: `127.0.0.1:9000`.
    pub listen: Vec<ListenerSettings>,
    /// `server.admin`: address of the admin port; `None` is `off`. Default: `127.0.0.1:9464`.
    pub admin: Option<SocketAddr>,
    /// `server.threads`: threads that serve lines, in each process; `None` is `auto`, one per core.
    /// Default: `None`.
    pub threads: Option<NonZeroU32>,
    /// `server.processes`. Default: 1.
    pub processes: Processes,
    /// `server.backlog`: length of the accept queue, as given to listen(2). Default: 65,535.
    pub backlog: u32,
    /// `server.ready_when_full`: whether `/readyz` still answers 200 at `limits.connections`.
    /// Default: `true`.
    pub ready_when_full: bool,
}

/// `admin.*`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdminSettings {
    /// `admin.socket`: path of the UNIX socket that takes commands; `None` is `off`. Default: `None`.
    pub socket: Option<PathBuf>,
    /// `admin.token_file`: file with the token that lets the admin port take commands; `None` is `off`.
    /// Default: `None`.
    pub token_file: Option<PathBuf>,
}

/// How many processes serve behind the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Processes {
    /// As many as `limits.connections` needs under the descriptor limit.
    Auto,
    /// This number.
    Exactly(NonZeroU32),
}

/// `workload.*`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// `workload.kind`. Default: `echo`.
    pub kind: WorkloadKind,
    /// `workload.digest`. Default: `reply`.
    pub digest: Digest,
    /// `workload.framing`. Default: `batch`.
    pub framing: Framing,
}

words! {
    /// What the innermost service does with a line.
    WorkloadKind {
        /// Sends it back.
        Echo = "echo",
        /// Hashes it.
        Sha256 = "sha256",
    }
}

words! {
    /// What happens to the digest of a line.
    Digest {
        /// It is the reply, in lower-case hex.
        Reply = "reply",
        /// It is dropped and the line is sent back.
        Discard = "discard",
    }
}

words! {
    /// How bytes are split into lines.
    Framing {
        /// All complete lines of a read at once; their bytes are not looked at.
        Batch = "batch",
        /// tokio-util's `LinesCodec`: a UTF-8 `String` per line.
        Lines = "lines",
    }
}

/// `flush.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Flush {
    /// `flush.policy`. Default: `auto`.
    pub policy: FlushPolicy,
}

/// When replies are written to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FlushPolicy {
    /// `auto`: before the connection waits for input, or when much output is buffered.
    Auto,
    /// `line`: after every line.
    Line,
    /// `every:N`: after this many lines, and before the connection waits for input.
    Every(NonZeroU32),
}

impl Limits {
    /// Whether what one address sends is limited.
    pub const fn has_source_rates(&self) -> bool {
        self.lines_per_ip.is_some() || self.bytes_per_ip.is_some()
    }
}

impl fmt::Display for FlushPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Line => f.write_str("line"),
            Self::Every(lines) => write!(f, "every:{lines}"),
        }
    }
}

/// `limits.*`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// `limits.connections`: maximum open connections; `None` is `auto`, what the descriptor limit
    /// and available memory allow. Default: `None`.
    pub connections: Option<NonZeroU32>,
    /// `limits.connections_per_ip`: maximum open connections per IPv4 address or IPv6 /64 network;
    /// `None` is `off`. Default: `None`.
    pub connections_per_ip: Option<NonZeroU32>,
    /// `limits.accept_rate`: maximum accepts per second; `None` is `off`. Default: `None`.
    pub accept_rate: Option<NonZeroU32>,
    /// `limits.accept_rate_per_ip`: maximum accepts per second from one IPv4 address or IPv6 /64 network; `None` is
    /// `off`. Default: `None`.
    pub accept_rate_per_ip: Option<NonZeroU32>,
    /// `limits.lines_per_ip`: lines per second that the connections of one IPv4 address or IPv6 /64 network send
    /// together; `None` is `off`. Default: `None`.
    pub lines_per_ip: Option<NonZeroU32>,
    /// `limits.bytes_per_ip`: bytes of lines per second that they send together; `None` is `off`. Default: `None`.
    pub bytes_per_ip: Option<NonZeroU32>,
    /// `limits.allow`: networks whose clients may connect; `None` is `off`, all. Default: `None`.
    pub allow: Option<NetworkList>,
    /// `limits.deny`: networks whose clients may not connect; `None` is `off`. Default: `None`.
    pub deny: Option<NetworkList>,
    /// `limits.admission`. Default: `wait`.
    pub admission: Admission,
    /// `limits.line_bytes`: maximum length of a line, terminator excluded. Default: 64 KiB.
    pub line_bytes: usize,
    /// `limits.concurrency`: maximum batches in the line stack, per process. Default: 4,096.
    pub concurrency: NonZeroU32,
    /// `limits.overload`. Default: `wait`.
    pub overload: Overload,
    /// `limits.output_bytes`: unsent replies of one connection at which the server stops reading
    /// from it. Default: 256 KiB.
    pub output_bytes: usize,
    /// `limits.buffer_bytes`: memory for the buffers of all connections, divided among the
    /// processes; `None` is `auto`, a quarter of available memory. Default: `None`.
    pub buffer_bytes: Option<usize>,
}

/// `push.*`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Push {
    /// `push.connection_bytes`: most bytes of messages that wait for one connection. Default: 1 MiB.
    pub connection_bytes: usize,
    /// `push.shard_bytes`: bytes of messages on their way to the connections of a thread above which senders wait.
    /// Default: 16 MiB.
    pub shard_bytes: usize,
    /// `push.at_once`: connections woken for messages before others run. Default: 32.
    pub at_once: NonZeroU32,
}

words! {
    /// What happens to a connection above `limits.connections` or `limits.accept_rate`.
    Admission {
        /// It waits in the kernel's accept queue.
        Wait = "wait",
        /// It is answered with an error line and closed.
        Reject = "reject",
    }
}

words! {
    /// What happens to a batch above `limits.concurrency`.
    Overload {
        /// It waits, within its request timeout.
        Wait = "wait",
        /// Its lines are answered `ERR overloaded`.
        Shed = "shed",
    }
}

/// `timeouts.*`; `None` is `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// `timeouts.request`: time of a batch in the line stack, including its wait for a concurrency
    /// permit. Default: 5 s.
    pub request: Option<Duration>,
    /// `timeouts.idle`: time without a line. Default: `None`.
    pub idle: Option<Duration>,
    /// `timeouts.line`: deadline of a line, from its first byte to its terminator. Default: 30 s.
    pub line: Option<Duration>,
    /// `timeouts.write`: time in which the client must read 4 KiB of its pending replies, or all of
    /// them. Default: 10 s.
    pub write: Option<Duration>,
    /// `timeouts.handshake`: time for what comes before the first line: a PROXY header, a TLS handshake.
    /// Default: 10 s.
    pub handshake: Duration,
    /// `timeouts.age`: age, within a tenth, at which a connection ends in order between two batches. Default:
    /// `None`.
    pub age: Option<Duration>,
    /// `timeouts.drain`: deadline of the whole drain. Default: 30 s.
    pub drain: Duration,
    /// `timeouts.drain_delay`: time at the beginning of the drain in which only readiness changes.
    /// Default: `None`.
    pub drain_delay: Option<Duration>,
    /// `timeouts.drain_spread`: time after the delay over which connections are closed. Default:
    /// `None`.
    pub drain_spread: Option<Duration>,
    /// `timeouts.linger`: time that the client has to close its side of a connection that the server
    /// closes. Default: 2 s.
    pub linger: Duration,
    /// `timeouts.half_close`: time that a batch is still served after its client has closed its
    /// sending side. Default: 500 ms.
    pub half_close: Option<Duration>,
}

/// `heartbeat.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Heartbeat {
    /// `heartbeat.interval`: silence before a ping; `None` is `off`. Default: 30 s.
    pub interval: Option<Duration>,
    /// `heartbeat.timeout`: time that the client has to send a line after a ping. Default: 10 s.
    pub timeout: Duration,
}

impl Heartbeat {
    /// A ping after `interval` of silence, with the default timeout.
    pub const fn every(interval: Duration) -> Self {
        Self { interval: Some(interval), timeout: Self::TIMEOUT }
    }

    /// No pings.
    pub const fn off() -> Self {
        Self { interval: None, timeout: Self::TIMEOUT }
    }

    pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);
}

/// `socket.*`
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketOptions {
    /// `socket.nodelay`: TCP_NODELAY. Default: `true`.
    pub nodelay: bool,
    /// `socket.keepalive`: TCP_KEEPIDLE; `None` is `off`. Default: 60 s.
    pub keepalive: Option<Duration>,
    /// `socket.user_timeout`: TCP_USER_TIMEOUT; `None` is `off`. Default: 30 s.
    pub user_timeout: Option<Duration>,
    /// `socket.notsent_lowat`: TCP_NOTSENT_LOWAT in bytes; `None` is `off`. Default: 16 KiB.
    pub notsent_lowat: Option<u32>,
    /// `socket.receive_buffer`: SO_RCVBUF. Default: `auto`.
    pub receive_buffer: ReceiveBuffer,
}

/// How large the kernel's receive buffer of a TCP connection is.
///
/// Sizes are those of SO_RCVBUF: the kernel doubles them, for its own overhead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReceiveBuffer {
    /// [`SMALL_BYTES`](Self::SMALL_BYTES), and [`LARGE_BYTES`](Self::LARGE_BYTES) once the client has sent
    /// much and taken its replies. At most 128 connections of a thread have large buffers, and those take at
    /// most half as much memory as `limits.buffer_bytes`.
    Auto,
    /// The kernel's choice, up to the third value of net.ipv4.tcp_rmem.
    Kernel,
    /// This many bytes, always.
    Bytes(u32),
}

impl ReceiveBuffer {
    /// The smaller size of [`Auto`](Self::Auto): a read of 64 KiB and a little.
    pub const SMALL_BYTES: u32 = 76 * 1024;

    /// The larger size of [`Auto`](Self::Auto). The kernel allows at most net.core.rmem_max.
    pub const LARGE_BYTES: u32 = 512 * 1024;

    /// The size that a connection starts with, unless the kernel chooses it.
    pub const fn first_bytes(self) -> Option<u32> {
        match self {
            Self::Auto => Some(Self::SMALL_BYTES),
            Self::Kernel => None,
            Self::Bytes(bytes) => Some(bytes),
        }
    }
}

/// `log.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// `log.level`. Default: `info`.
    pub level: LogLevel,
    /// `log.format`. Default: `text`.
    pub format: LogFormat,
    /// `log.connections`. Default: `abnormal`.
    pub connections: ConnectionLog,
}

words! {
    /// The least severe level that is logged.
    LogLevel {
        Error = "error",
        Warn = "warn",
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

words! {
    /// The format of the log on standard error.
    LogFormat {
        /// For people.
        Text = "text",
        /// One object per line.
        Json = "json",
    }
}

words! {
    /// Which connections have a record in the log when they end.
    ConnectionLog {
        Off = "off",
        /// Those that end in disorder.
        Abnormal = "abnormal",
        All = "all",
    }
}
