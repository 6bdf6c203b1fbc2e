//! What can be set, as plain data with the unit in the type. Nothing here reads a file or a clock.

use std::{net::SocketAddr, num::NonZeroU32, path::PathBuf, time::Duration};

/// Every setting of the server, valid by construction once [`crate::load`] returned it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where and with how many threads and processes it serves.
    pub server: Server,
    /// What it does with a line.
    pub workload: Workload,
    /// When replies are written.
    pub flush: Flush,
    /// How much it takes on.
    pub limits: Limits,
    /// How long it waits.
    pub timeouts: Timeouts,
    /// How it tells a quiet peer from a dead one.
    pub heartbeat: Heartbeat,
    /// Options of the accepted sockets.
    pub socket: Socket,
    /// Encryption on the listening socket.
    pub tls: Tls,
    /// The client's address, as a proxy in front reports it.
    pub proxy_protocol: ProxyProtocol,
    /// What it tells about itself.
    pub log: Log,
}

/// `server.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// `server.listen`: where lines are served.
    pub listen: Listen,
    /// `server.admin`: where metrics and health are served; `None` is `off`.
    pub admin: Option<SocketAddr>,
    /// `server.threads`: shards per process; `None` is `auto`, one a core.
    pub threads: Option<NonZeroU32>,
    /// `server.processes`.
    pub processes: Processes,
    /// `server.backlog`: of the listening socket, as given to listen(2).
    pub backlog: u32,
}

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// `HOST:PORT`, port 0 for any free one.
    Tcp(SocketAddr),
    /// `unix:/path`.
    Unix(PathBuf),
}

/// How many processes share the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Processes {
    /// As many as the descriptor limit makes necessary.
    Auto,
    /// Exactly so many.
    Exactly(NonZeroU32),
}

/// `workload.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// `workload.kind`
    pub kind: WorkloadKind,
    /// `workload.digest`: what becomes of a SHA-256 digest.
    pub digest: Digest,
    /// `workload.framing`
    pub framing: Framing,
}

/// What the innermost service does with a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Sends it back.
    Echo,
    /// Hashes it.
    Sha256,
}

/// What becomes of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// It is the answer, in lower-case hex.
    Reply,
    /// It is dropped and the line itself is the answer: the article's load.
    Discard,
}

/// How bytes become lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// All complete lines of a read at once, bytes opaque.
    Batch,
    /// tokio-util's `LinesCodec`: a UTF-8 `String` a line.
    Lines,
}

/// `flush.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flush {
    /// `flush.policy`
    pub policy: FlushPolicy,
}

/// When replies are written to the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlushPolicy {
    /// On the way to park, or at high water.
    Auto,
    /// A write for each line: the article's baseline.
    Line,
    /// After so many lines, and on the way to park.
    Every(NonZeroU32),
}

/// `limits.*`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// `limits.connections`: `None` is `auto`, from descriptors and memory.
    pub connections: Option<NonZeroU32>,
    /// `limits.connections_per_ip`: per IPv4 address or IPv6 /64; `None` is `off`.
    pub connections_per_ip: Option<NonZeroU32>,
    /// `limits.accept_rate`: new connections a second; `None` is `off`.
    pub accept_rate: Option<NonZeroU32>,
    /// `limits.admission`
    pub admission: Admission,
    /// `limits.line_bytes`: longest line, terminator excluded.
    pub line_bytes: usize,
    /// `limits.concurrency`: batches in the line stack at once, per process.
    pub concurrency: NonZeroU32,
    /// `limits.overload`
    pub overload: Overload,
    /// `limits.output_bytes`: unsent replies per connection before reading stops.
    pub output_bytes: usize,
    /// `limits.buffer_bytes`: buffers of all connections, per process; `None` is `auto`, from memory.
    pub buffer_bytes: Option<usize>,
}

/// What happens at the connection limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Connections wait in the kernel's queue.
    Wait,
    /// They are answered with an error line and closed.
    Reject,
}

/// What happens at the concurrency limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overload {
    /// A batch waits, within its request timeout.
    Wait,
    /// Its lines are answered `ERR overloaded`.
    Shed,
}

/// `timeouts.*`; `None` is `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// `timeouts.request`: in the line stack, the wait for a concurrency permit included.
    pub request: Option<Duration>,
    /// `timeouts.idle`: no line for so long.
    pub idle: Option<Duration>,
    /// `timeouts.line`: from a line's first byte to its end; a trickle does not extend it.
    pub line: Option<Duration>,
    /// `timeouts.write`: unsent replies without 4 KiB of progress, or all of them.
    pub write: Option<Duration>,
    /// `timeouts.drain`: the whole drain.
    pub drain: Duration,
    /// `timeouts.drain_delay`: within it, the time in which all goes on but readiness.
    pub drain_delay: Option<Duration>,
    /// `timeouts.drain_spread`: within it, the time over which connections are told to go.
    pub drain_spread: Option<Duration>,
    /// `timeouts.linger`: after our close of a connection, until the peer's.
    pub linger: Duration,
}

/// `heartbeat.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heartbeat {
    /// `heartbeat.interval`: silence before a ping; `None` is `off`.
    pub interval: Option<Duration>,
    /// `heartbeat.timeout`: after a ping without a line.
    pub timeout: Duration,
}

impl Heartbeat {
    /// A ping after so much silence, and the default time to answer it.
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
pub struct Socket {
    /// `socket.nodelay`: TCP_NODELAY.
    pub nodelay: bool,
    /// `socket.keepalive`: TCP_KEEPIDLE; `None` is `off`.
    pub keepalive: Option<Duration>,
    /// `socket.user_timeout`: TCP_USER_TIMEOUT; `None` is `off`.
    pub user_timeout: Option<Duration>,
    /// `socket.notsent_lowat`: TCP_NOTSENT_LOWAT; `None` is `off`.
    pub notsent_lowat: Option<u32>,
    /// `socket.receive_buffer`: SO_RCVBUF, of which the kernel makes twice as much; `None` is `auto`.
    pub receive_buffer: Option<u32>,
}

/// `tls.*`; `None` is `off`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// `tls.cert`: PEM file of the certificate chain.
    pub cert: Option<PathBuf>,
    /// `tls.key`: PEM file of its private key.
    pub key: Option<PathBuf>,
    /// `tls.client_ca`: PEM file of the authorities that sign client certificates.
    pub client_ca: Option<PathBuf>,
}

/// `proxy_protocol.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyProtocol {
    /// `proxy_protocol.mode`
    pub mode: ProxyMode,
}

/// Whether connections begin with a PROXY protocol header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyMode {
    /// They don't; one that does sends it as data.
    Off,
    /// They all do; one without is closed.
    Require,
}

/// `log.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// `log.level`
    pub level: LogLevel,
    /// `log.format`
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How it is logged, on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}
