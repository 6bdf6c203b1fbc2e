//! What a server is made of, collected before it starts.

mod hooks;
mod protocol_builder;
mod serve;
mod settings;

use std::{fmt, time::Duration};

use towline_config::{Admission, FlushPolicy, Framing, Heartbeat, Overload, Settings, Timeouts};

pub use self::protocol_builder::ProtocolBuilder;
use crate::{RunError, accept::BoundListener, admin::UserMetrics, hooks::Hooks};

/// A change of the settings, made when the server is.
type Change = Box<dyn FnOnce(&mut Settings) -> Result<(), RunError> + Send>;

/// The settings of a [`Server`](crate::Server), before a service is given.
///
/// Setters are applied in the order of their calls, over the settings given to
/// [`settings`](Self::settings) wherever that call stands. A value that its key does not accept is
/// an error of [`Server::start`](crate::Server::start), in the words of the configuration file's errors.
#[must_use = "a builder does nothing until `serve` gives it a service"]
pub struct Builder {
    /// `None`: those of a library.
    base: Option<Settings>,
    changes: Vec<Change>,
    pub(crate) listener: Option<BoundListener>,
    pub(crate) configure_listener: bool,
    pub(crate) raise_descriptor_limit: bool,
    pub(crate) metrics: Option<UserMetrics>,
    pub(crate) hooks: Hooks,
}

/// Where it listens, and what it does to the process it runs in.
impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            base: None,
            changes: Vec::new(),
            listener: None,
            configure_listener: false,
            raise_descriptor_limit: false,
            metrics: None,
            hooks: Hooks::default(),
        }
    }

    /// The address of the line port: `IP:PORT`, `localhost:PORT` or `unix:/path`. Port 0 takes any
    /// free one, which [`Running::address`](crate::Running::address) tells.
    ///
    /// Default: `127.0.0.1:9000`.
    pub fn listen(self, address: &str) -> Self {
        self.key("server.listen", address.to_owned())
    }

    /// Serves on a socket that the caller bound, in the place of [`listen`](Self::listen). Its
    /// options stay as they are; see [`configure_listener`](Self::configure_listener).
    ///
    /// Default: none.
    pub fn listener(mut self, listener: impl Into<BoundListener>) -> Self {
        self.listener = Some(listener.into());
        self
    }

    /// Whether a [`listener`](Self::listener) of the caller's gets the socket options of
    /// `socket.*`, as one that the server binds does: `TCP_NODELAY`, keep-alive, `TCP_USER_TIMEOUT`,
    /// `TCP_NOTSENT_LOWAT` and `SO_RCVBUF`.
    ///
    /// Default: `false`. Without `TCP_NODELAY` the kernel holds small replies back until the client
    /// has acknowledged the ones before.
    pub const fn configure_listener(mut self, configure: bool) -> Self {
        self.configure_listener = configure;
        self
    }

    /// The address of the admin port, which serves metrics and health over HTTP: `IP:PORT`,
    /// `localhost:PORT` or `off`. It has no password, so keep it off public networks.
    ///
    /// Default: `off`.
    #[cfg(feature = "admin")]
    pub fn admin(self, address: &str) -> Self {
        self.key("server.admin", address.to_owned())
    }

    /// Whether the soft descriptor limit of the whole process is raised to its hard limit at start.
    /// No privilege is needed for that. Programs that use select(2) on descriptors above 1,023 break.
    ///
    /// Default: `false`: the limit stays what the program has made it, and bounds
    /// [`connections`](Self::connections).
    pub const fn raise_descriptor_limit(mut self, raise: bool) -> Self {
        self.raise_descriptor_limit = raise;
        self
    }

    /// Threads that serve lines.
    ///
    /// Default: one per core.
    pub fn threads(self, threads: u32) -> Self {
        self.key("server.threads", threads.to_string())
    }
}

/// Limits and timeouts.
impl Builder {
    /// Maximum open connections. Others wait in the kernel's accept queue, or are rejected; see
    /// [`admission`](Self::admission).
    ///
    /// Default: what the descriptor limit and available memory allow.
    pub fn connections(self, connections: u32) -> Self {
        self.key("limits.connections", connections.to_string())
    }

    /// Maximum open connections per IPv4 address or IPv6 /64 network. Others are rejected.
    ///
    /// Default: unlimited.
    pub fn connections_per_ip(self, connections: u32) -> Self {
        self.key("limits.connections_per_ip", connections.to_string())
    }

    /// Maximum accepted connections per second, with a burst of one second's worth.
    ///
    /// Default: unlimited.
    pub fn accept_rate(self, per_second: u32) -> Self {
        self.key("limits.accept_rate", per_second.to_string())
    }

    /// What happens to a connection above [`connections`](Self::connections) or
    /// [`accept_rate`](Self::accept_rate).
    ///
    /// Default: [`Admission::Wait`].
    pub fn admission(self, admission: Admission) -> Self {
        self.set(move |settings| settings.limits.admission = admission)
    }

    /// Maximum length of a frame in bytes, as its protocol counts it: of a line without its terminator. A
    /// longer one is answered in the protocol's words, for lines `ERR line too long`, and ends the connection.
    ///
    /// Default: 64 KiB.
    pub fn frame_max(self, bytes: usize) -> Self {
        self.key("limits.line_bytes", bytes.to_string())
    }

    /// Another name of [`frame_max`](Self::frame_max), after the key `limits.line_bytes`.
    pub fn line_bytes(self, bytes: usize) -> Self {
        self.frame_max(bytes)
    }

    /// Maximum batches in the service at a time, of all connections together.
    ///
    /// Default: 4,096.
    pub fn concurrency(self, batches: u32) -> Self {
        self.key("limits.concurrency", batches.to_string())
    }

    /// What happens to a batch above [`concurrency`](Self::concurrency).
    ///
    /// Default: [`Overload::Wait`].
    pub fn overload(self, overload: Overload) -> Self {
        self.set(move |settings| settings.limits.overload = overload)
    }

    /// Bytes of unsent replies of one connection at which the server stops reading from it.
    ///
    /// Default: 256 KiB.
    pub fn output_bytes(self, bytes: usize) -> Self {
        self.key("limits.output_bytes", bytes.to_string())
    }

    /// Bytes of pushed messages that wait for one connection at most: what happens to more, the
    /// [`SlowConsumer`](crate::SlowConsumer) policy of its group says. A longer message is refused.
    ///
    /// Default: 1 MiB.
    pub fn push_connection_bytes(self, bytes: usize) -> Self {
        self.key("push.connection_bytes", bytes.to_string())
    }

    /// Bytes of pushed messages on their way to the connections of a thread above which the connections that
    /// send are not read until half of them are given. Above twice as much, messages are refused.
    ///
    /// Default: 16 MiB.
    pub fn push_shard_bytes(self, bytes: usize) -> Self {
        self.key("push.shard_bytes", bytes.to_string())
    }

    /// Memory for the buffers of all connections, in bytes. Near it the server sheds load.
    ///
    /// Default: a quarter of available memory.
    pub fn buffer_bytes(self, bytes: usize) -> Self {
        self.key("limits.buffer_bytes", bytes.to_string())
    }

    /// Time of a batch in the service, its wait for [`concurrency`](Self::concurrency) included.
    /// Lines of a batch that takes longer are answered `ERR timeout`. `None` is no timeout.
    ///
    /// Default: 5 s.
    pub fn request_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.time("timeouts.request", timeout.into())
    }

    /// Time without a line after which a connection is closed. `None` is no timeout.
    ///
    /// Default: `None`. Without it and without a [`heartbeat`](Self::heartbeat) a client may be silent for
    /// ever: TCP keep-alive finds a host that is gone within minutes, not a program that hangs.
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.time("timeouts.idle", timeout.into())
    }

    /// Deadline of a line, from its first byte to its terminator. `None` is no deadline.
    ///
    /// Default: 30 s.
    pub fn line_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.time("timeouts.line", timeout.into())
    }

    /// Time in which a client must read 4 KiB of its pending replies, or all of them. `None` is no
    /// timeout.
    ///
    /// Default: 10 s.
    pub fn write_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.time("timeouts.write", timeout.into())
    }

    /// Time that a batch is still served after its client has closed its sending side, as a client
    /// does that only waits for replies, and one that is gone. Then the call is cancelled. `None`
    /// serves it to its end. The same holds for what a session waits for. A client that resets its connection
    /// ends it at once.
    ///
    /// Default: what the protocol says
    /// ([`Protocol::HALF_CLOSE`](crate::Protocol::HALF_CLOSE)); 500 ms for those of towline.
    pub fn half_close_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.time("timeouts.half_close", timeout.into())
    }

    /// Age at which a connection ends in order, between two batches, counted as
    /// [`MaxAge`](towline_middleware::stats::CloseReason::MaxAge), so that its client connects again, to another
    /// replica perhaps. Each connection has an age of its own within a tenth of it. A call that waits is not
    /// interrupted. Whole seconds.
    ///
    /// Not for a server in the program's runtime ([`Server::run_on`](crate::Server::run_on)), which has no list
    /// of its connections.
    ///
    /// Default: `None`.
    pub fn max_age(self, age: impl Into<Option<Duration>>) -> Self {
        self.time("timeouts.age", age.into())
    }

    /// Deadline of a drain, after which the connections that are left are cut.
    ///
    /// Default: 30 s.
    pub fn drain_timeout(self, timeout: Duration) -> Self {
        self.time("timeouts.drain", Some(timeout))
    }

    /// All timeouts.
    ///
    /// Default: [`Timeouts::default`].
    pub fn timeouts(self, timeouts: Timeouts) -> Self {
        self.set(move |settings| settings.timeouts = timeouts)
    }

    /// How the server tells a quiet client from a dead one: after a silence of its interval it sends a ping,
    /// for lines the line `ping`, and closes a connection without a line within its timeout of that.
    ///
    /// [`Heartbeat::every`] asks for one. Clients must expect the ping: it comes between two replies, and a
    /// client that does not know it takes it for one. Another [`protocol`](Self::protocol) has its own word, or
    /// none: asking for a heartbeat without one is an error of [`Server::start`](crate::Server::start).
    ///
    /// Default: [`Heartbeat::off`]. The `towline` binary has one, as has [`Settings::default`], of which
    /// [`settings`](Self::settings) may be made: 30 s, and 10 s to answer.
    pub fn heartbeat(self, heartbeat: Heartbeat) -> Self {
        self.set(move |settings| settings.heartbeat = heartbeat)
    }
}

/// Who may connect.
#[cfg(feature = "tls")]
impl Builder {
    /// Speaks TLS on the line port; [`Peer::tls`](crate::Peer::tls) and [`Peer::identity`](crate::Peer::identity)
    /// say what is known of a client.
    ///
    /// Default: none.
    pub fn tls(mut self, tls: crate::Tls) -> Self {
        self.hooks.tls = tls.material();
        self.hooks.watches_tls = tls.watches_files();
        self.set(|settings| tls.into_settings(settings))
    }

    /// Connections begin in the clear, and their sessions go over to TLS with [`Cx::secure`](crate::Cx::secure), as
    /// STARTTLS of SMTP does. The handshake has `timeouts.handshake`.
    ///
    /// Default: none, and `secure` says so to the peer. Replaces [`tls`](Self::tls).
    pub fn starttls(mut self, tls: crate::Tls) -> Self {
        self.hooks.starts_tls_later = true;
        self.tls(tls)
    }
}

/// How lines are read and replies written.
impl Builder {
    /// How bytes are split into lines.
    ///
    /// Default: [`Framing::Batch`].
    pub fn framing(self, framing: Framing) -> Self {
        self.set(move |settings| settings.workload.framing = framing)
    }

    /// When replies are written to the socket.
    ///
    /// Default: [`FlushPolicy::Auto`].
    pub fn flush(self, policy: FlushPolicy) -> Self {
        self.set(move |settings| settings.flush.policy = policy)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("changes", &self.changes.len())
            .field("listener", &self.listener)
            .finish_non_exhaustive()
    }
}
