//! The values of the labels under which metrics are exported.

/// What an open connection is doing. Exclusive: the states sum to the open connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum State {
    /// A PROXY header or TLS handshake is pending.
    Handshake,
    /// Nothing is buffered either way: the peer has nothing to say.
    Idle,
    /// An unfinished line is buffered: the rest is the peer's to send.
    ReadWait,
    /// Runnable or running.
    Ready,
    /// A batch is inside the service.
    Service,
    /// A batch waits for a concurrency permit, or for the rate of its peer's address.
    LimitWait,
    /// What it sent to other connections filled their queues: it is not read on until there is room.
    PushWait,
    /// Replies are unsent and the socket takes no more: back-pressure.
    WriteWait,
    /// The last replies and the close are on their way, or a deadline passed and the close is paced.
    Closing,
}

impl State {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 9] = [
        Self::Handshake,
        Self::Idle,
        Self::ReadWait,
        Self::Ready,
        Self::Service,
        Self::LimitWait,
        Self::PushWait,
        Self::WriteWait,
        Self::Closing,
    ];

    /// The label value under which it is exported.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::ReadWait => "read_wait",
            Self::Ready => "ready",
            Self::Service => "service",
            Self::LimitWait => "limit_wait",
            Self::PushWait => "push_wait",
            Self::WriteWait => "write_wait",
            Self::Closing => "closing",
        }
    }
}

/// Why a connection ended. No input of a peer adds a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum CloseReason {
    /// The peer closed its side and got all its replies.
    PeerEof,
    /// The peer reset the connection, closed it while we wrote, or was given up by the kernel.
    PeerReset,
    /// No line for `timeouts.idle`.
    IdleTimeout,
    /// A line was not finished within `timeouts.line`.
    ReadTimeout,
    /// Unsent replies made too little progress for `timeouts.write`.
    WriteTimeout,
    /// A ping was not answered within `heartbeat.timeout`.
    HeartbeatTimeout,
    /// A line was longer than `limits.line_bytes`.
    LineTooLong,
    /// What was read is no frame of the protocol; lines never are.
    Malformed,
    /// A line was not UTF-8 (`framing = "lines"` only).
    InvalidUtf8,
    /// A PROXY header was wrong or missing.
    ProxyError,
    /// A limit or a list does not admit its client, which a PROXY header named.
    ClientRefused,
    /// The TLS handshake or session failed.
    TlsError,
    /// The peer speaks TLS, and the connection is in the clear.
    UnexpectedTls,
    /// A PROXY header or TLS handshake took longer than `timeouts.handshake`.
    HandshakeTimeout,
    /// The service ended the connection, behind its last reply.
    ServiceClose,
    /// It took too little of what was pushed to it.
    SlowConsumer,
    /// The service returned an error that does not become a reply.
    ServiceError,
    /// The service panicked.
    ServicePanic,
    /// Closed to relieve overload.
    Overload,
    /// Finished because the server drained.
    Drain,
    /// An operator closed it.
    Admin,
    /// It reached `timeouts.age`.
    MaxAge,
    /// Cut at the drain deadline or by a second signal.
    Shutdown,
    /// Lost with its worker process.
    WorkerLost,
    /// The kernel reported any other error.
    IoError,
}

impl CloseReason {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 25] = [
        Self::PeerEof,
        Self::PeerReset,
        Self::IdleTimeout,
        Self::ReadTimeout,
        Self::WriteTimeout,
        Self::HeartbeatTimeout,
        Self::LineTooLong,
        Self::Malformed,
        Self::InvalidUtf8,
        Self::ProxyError,
        Self::ClientRefused,
        Self::TlsError,
        Self::UnexpectedTls,
        Self::HandshakeTimeout,
        Self::ServiceClose,
        Self::SlowConsumer,
        Self::ServiceError,
        Self::ServicePanic,
        Self::Overload,
        Self::Drain,
        Self::Admin,
        Self::MaxAge,
        Self::Shutdown,
        Self::WorkerLost,
        Self::IoError,
    ];

    /// Whether an operator would ask about it.
    ///
    /// | abnormal | usual |
    /// |---|---|
    /// | the peer vanished or stopped: `peer_reset`, `read_timeout`, `write_timeout`, `heartbeat_timeout`, `handshake_timeout`, `slow_consumer` | `peer_eof`, `idle_timeout` |
    /// | it sent what cannot be served: `line_too_long`, `malformed`, `invalid_utf8`, `proxy_error`, `tls_error`, `unexpected_tls` | |
    /// | the service failed: `service_error`, `service_panic` | `service_close` |
    /// | the server could not go on: `overload`, `shutdown`, `worker_lost`, `io_error` | `drain`, `admin`, `max_age`, `client_refused` |
    pub const fn is_abnormal(self) -> bool {
        match self {
            Self::PeerEof
            | Self::IdleTimeout
            | Self::ServiceClose
            | Self::ClientRefused
            | Self::Drain
            | Self::Admin
            | Self::MaxAge => false,
            Self::PeerReset
            | Self::ReadTimeout
            | Self::WriteTimeout
            | Self::HeartbeatTimeout
            | Self::LineTooLong
            | Self::Malformed
            | Self::InvalidUtf8
            | Self::ProxyError
            | Self::TlsError
            | Self::UnexpectedTls
            | Self::HandshakeTimeout
            | Self::SlowConsumer
            | Self::ServiceError
            | Self::ServicePanic
            | Self::Overload
            | Self::Shutdown
            | Self::WorkerLost
            | Self::IoError => true,
        }
    }

    /// The label value under which it is exported.
    pub const fn label(self) -> &'static str {
        match self {
            Self::PeerEof => "peer_eof",
            Self::PeerReset => "peer_reset",
            Self::IdleTimeout => "idle_timeout",
            Self::ReadTimeout => "read_timeout",
            Self::WriteTimeout => "write_timeout",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::LineTooLong => "line_too_long",
            Self::Malformed => "malformed",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::ProxyError => "proxy_error",
            Self::ClientRefused => "client_refused",
            Self::TlsError => "tls_error",
            Self::UnexpectedTls => "unexpected_tls",
            Self::HandshakeTimeout => "handshake_timeout",
            Self::ServiceClose => "service_close",
            Self::SlowConsumer => "slow_consumer",
            Self::ServiceError => "service_error",
            Self::ServicePanic => "service_panic",
            Self::Overload => "overload",
            Self::Drain => "drain",
            Self::Admin => "admin",
            Self::MaxAge => "max_age",
            Self::Shutdown => "shutdown",
            Self::WorkerLost => "worker_lost",
            Self::IoError => "io_error",
        }
    }
}

/// How the lines of a batch ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineResult {
    /// A reply was made.
    Ok,
    /// The line stack's timeout passed.
    Timeout,
    /// The concurrency limit was reached and overload is shed.
    Shed,
    /// The service failed.
    Error,
}

impl LineResult {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Timeout, Self::Shed, Self::Error];

    /// The label value under which it is exported.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Shed => "shed",
            Self::Error => "error",
        }
    }
}

/// How a command of a router ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandResult {
    /// It was answered, or needs no reply.
    Ok,
    /// Its reply is a [`ReplyError`](crate::reply::ReplyError), of its handler, a guard, its arguments or the
    /// router.
    Error,
    /// Its deferred reply took longer than its timeout.
    Timeout,
    /// Its deferred reply was shed because the server is overloaded.
    Shed,
}

impl CommandResult {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Ok, Self::Error, Self::Timeout, Self::Shed];

    /// The label value under which it is exported.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Shed => "shed",
        }
    }
}
