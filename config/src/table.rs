//! The one table of keys. Files, environment, flags, `towline config`, the reference file and the help
//! texts all derive from it: a key added here is known everywhere.
//!
//! A key's name is the path of its field in [`crate::Settings`], so the two cannot differ.

use std::time::Duration;

use crate::{
    edge::{ClientAuth, ProxyMode, TlsVersion},
    grammar::{
        Address, Count, FlushPolicies, Listeners, Names, Networks, Or, Path, Paths, ProcessCount,
        ReceiveBuffers, Size, SocketPath, Time, Words,
    },
    key::{Field, Key},
    settings::{
        Admission, ConnectionLog, Digest, Framing, LogFormat, LogLevel, Overload, Settings,
        WorkloadKind,
    },
};

/// The key whose name is the path of a field.
macro_rules! key {
    ($section:ident . $field:ident, $grammar:expr, $doc:expr $(,)?) => {
        Key::new(
            concat!(stringify!($section), ".", stringify!($field)),
            &Field {
                get: |settings: &Settings| &settings.$section.$field,
                get_mut: |settings: &mut Settings| &mut settings.$section.$field,
                grammar: $grammar,
            },
            $doc,
        )
    };
}

impl Key {
    /// All keys, in the order of the reference file.
    pub fn all() -> &'static [Self] {
        KEYS
    }

    /// The key with this dotted name.
    pub fn find(name: &str) -> Option<&'static Self> {
        Self::all().iter().find(|key| key.name == name)
    }
}

/// The TOML tables, with what they are about.
#[cfg(feature = "file")]
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("server", "Addresses, threads and processes."),
    ("admin", "Commands to the running server: `towline ctl`."),
    ("workload", "The service that answers lines."),
    ("flush", "When replies are written."),
    ("limits", "How much the server takes on, and what happens at each limit."),
    ("push", "Messages that a program sends unasked: the workloads of `towline` send none."),
    ("timeouts", "Timeouts, which start again on activity, and deadlines, which do not."),
    ("heartbeat", "How the server tells a quiet client from a dead one."),
    ("socket", "Options of accepted sockets."),
    ("tls", "TLS on the line port."),
    ("proxy_protocol", "The client's address behind a load balancer."),
    ("log", "The log, on standard error."),
];

const GIB: u64 = 1 << 30;
/// listen(2), setsockopt(2) and friends take a C int.
const C_INT: u32 = i32::MAX.cast_unsigned();
const COUNT: Count = Count { min: 1, max: u32::MAX };
const SIZE: Size = Size { min: 1, max: GIB };
/// A smaller budget would be exceeded by a few full blocks.
const BUDGET: Size = Size { min: 1 << 20, max: 1024 * GIB };
/// Up to a year: every clock can add that without overflow.
const TIME: Time = milliseconds_up_to(Duration::from_secs(8760 * 3600));
/// Ages are looked at once a second.
const AGE: Time = Time { step: Duration::from_secs(1), unit: "seconds", ..TIME };
/// TCP_USER_TIMEOUT is a C int of milliseconds.
const USER_TIMEOUT: Time = milliseconds_up_to(Duration::from_secs(24 * 86_400));
/// TCP_KEEPIDLE is counted in seconds, in 15 bits.
const KEEPALIVE: Time =
    Time { max: Duration::from_secs(32_767), step: Duration::from_secs(1), unit: "seconds" };
const BOOL: Words<bool> = Words(&[("true", true), ("false", false)]);
/// A boolean with a flag, which takes `on` and `off` as well.
const SWITCH: Words<bool> =
    Words(&[("true", true), ("false", false), ("on", true), ("off", false)]);

const fn milliseconds_up_to(max: Duration) -> Time {
    Time { max, step: Duration::from_millis(1), unit: "milliseconds" }
}

const fn off<G>(inner: G) -> Or<G> {
    Or { word: "off", inner }
}

const fn auto<G>(inner: G) -> Or<G> {
    Or { word: "auto", inner }
}

static KEYS: &[Key] = &[
    key!(
        server.listen,
        Listeners,
        "Addresses that clients connect to. Port 0 takes any free port; the line printed at start \
         names it. `unix:/path` listens on a Unix socket. A list listens on each of its addresses, \
         and the flag may be repeated. Options of a listener stand behind its address, as in \
         `127.0.0.1:9000,connections=100`, or in a table with its `address`: `name` in metrics and \
         of a socket from a service manager, `connections` at most by this listener, `tls=off` without the TLS of `tls.cert`, and `mode`, \
         `owner` and `group` of a Unix socket. `[::]` and `0.0.0.0` on one port are apart.",
    )
    .flag("--listen")
    .list(),
    key!(
        server.admin,
        off(Address),
        "Address of the admin port: metrics, health, configuration and a live page over HTTP. It \
         asks for no password, so keep it on an address that only you can reach.",
    )
    .flag("--admin"),
    key!(
        server.threads,
        auto(Count { min: 1, max: 1024 }),
        "Threads that serve lines, in each process. `auto` is one per core, divided among the \
         processes. A connection stays on its thread.",
    )
    .flag("--threads"),
    key!(
        server.processes,
        ProcessCount,
        "Processes that serve behind the port. A process cannot have more connections than \
         descriptors; `auto` starts as many processes as `limits.connections` needs. More than \
         one are started and watched by a supervisor process, which accepts connections for all \
         of them and serves no lines.",
    )
    .flag("--processes"),
    key!(
        server.backlog,
        Count { min: 1, max: C_INT },
        "Maximum connections in the kernel's accept queue. The kernel caps it at \
         net.core.somaxconn.",
    )
    .flag("--backlog"),
    key!(
        server.ready_when_full,
        SWITCH,
        "Whether `/readyz` still answers 200 when `limits.connections` are open. If `false`, it \
         answers 503 (`full`), so that a load balancer sends new connections elsewhere. If every \
         replica is full, the balancer has none left.",
    )
    .flag("--ready-when-full")
    .live(),
    key!(
        admin.socket,
        off(SocketPath),
        "Path of a UNIX socket that answers what the admin port answers, and takes commands: closing \
         connections, draining, changing settings. Only the server's own user and root can use it.",
    )
    .flag("--admin-socket"),
    key!(
        admin.token_file,
        off(Path),
        "File with a token. With it, the admin port takes commands too, from clients that send the \
         header `Authorization: Bearer TOKEN`. The file must not be readable by others.",
    )
    .flag("--admin-token-file"),
    key!(
        workload.kind,
        Words(WorkloadKind::WORDS),
        "What the server does with a line: `echo` sends it back, `sha256` hashes it.",
    )
    .flag("--workload")
    .live(),
    key!(
        workload.digest,
        Words(Digest::WORDS),
        "What happens to the digest under `sha256`: `reply` sends it as 64 hex digits, `discard` \
         drops it and sends the line back. `echo` ignores this.",
    )
    .flag("--digest")
    .live(),
    key!(
        workload.framing,
        Words(Framing::WORDS),
        "How bytes are split into lines: `batch` takes all complete lines of a read at once and \
         does not look at their bytes; `lines` makes a UTF-8 string of each line, and costs more.",
    )
    .flag("--framing"),
    key!(
        flush.policy,
        FlushPolicies,
        "When replies are written to the socket: `auto` when no more lines are at hand or much \
         output is buffered, `line` after every line, `every:N` after N lines and when no more \
         are at hand. No policy holds a reply back while the client waits for it.",
    )
    .flag("--flush")
    .live(),
    key!(
        limits.connections,
        auto(COUNT),
        "Maximum open connections. `auto` is what the descriptor limit and available memory \
         allow. If the descriptor limit does not allow the number, the server does not start and \
         says what would help.",
    )
    .flag("--max-connections")
    .live(),
    key!(
        limits.connections_per_ip,
        off(COUNT),
        "Maximum open connections from one IPv4 address or IPv6 /64 network. Further ones are \
         answered `ERR too many connections from your address` and closed. Behind a load balancer \
         all clients have its address, unless it sends PROXY headers. When a reload turns it on, \
         connections that are open already do not count.",
    )
    .flag("--max-connections-per-ip")
    .live(),
    key!(
        limits.accept_rate,
        off(Count { min: 1, max: 1_000_000 }),
        "Maximum accepts per second, with a burst of one second's worth. `limits.admission` says \
         what happens to connections above it.",
    )
    .flag("--max-accept-rate")
    .live(),
    key!(
        limits.accept_rate_per_ip,
        off(Count { min: 1, max: 1_000_000 }),
        "Maximum accepts per second from one IPv4 address or IPv6 /64 network, with a burst of one \
         second's worth. Further ones are answered `ERR too many connections from your address` and \
         closed. The last 65,536 addresses are remembered.",
    )
    .flag("--max-accept-rate-per-ip")
    .live(),
    key!(
        limits.allow,
        off(Networks),
        "Networks whose clients may connect, and no others. An item that begins with a slash is a file \
         with one network a line and comments behind `#`, which a reload reads again. Clients over a \
         Unix socket have no address, and may connect.",
    )
    .flag("--allow")
    .list()
    .live(),
    key!(
        limits.deny,
        off(Networks),
        "Networks whose clients may not connect, also if `limits.allow` has them; written as that is.",
    )
    .flag("--deny")
    .list()
    .live(),
    key!(
        limits.admission,
        Words(Admission::WORDS),
        "What happens to a connection above `limits.connections`: `wait` leaves it in the \
         kernel's accept queue until another one ends, `reject` answers `ERR too many \
         connections` and closes it.",
    )
    .flag("--admission")
    .live(),
    key!(
        limits.line_bytes,
        SIZE,
        "Maximum length of a line, terminator excluded. A longer line is answered `ERR line too \
         long` and the connection is closed.",
    )
    .flag("--max-line")
    .live(),
    key!(
        limits.concurrency,
        COUNT,
        "Maximum batches of lines in service at once, in each process. Only a workload that \
         waits can reach it; idle connections do not count.",
    )
    .flag("--concurrency")
    .live(),
    key!(
        limits.overload,
        Words(Overload::WORDS),
        "What happens to a batch above `limits.concurrency`: `wait` queues it within \
         `timeouts.request`, `shed` answers `ERR overloaded` to each of its lines at once.",
    )
    .flag("--overload")
    .live(),
    key!(
        limits.output_bytes,
        SIZE,
        "Maximum bytes of replies that a client may leave unread; the server stops reading from \
         its connection until it reads some.",
    )
    .flag("--max-output")
    .live(),
    key!(
        limits.buffer_bytes,
        auto(BUDGET),
        "Memory for unfinished lines, batches in service and unread replies of all connections, \
         divided among the processes. `auto` is a quarter of what the host or its control group \
         has available at start. Above half of it, the server does not read from connections \
         with unread replies. At nine tenths of it, connections that hold the most are closed; where \
         batches in service take it, lines are answered `ERR overloaded`, then `limits.admission` \
         says what happens to new connections. Expected at least four times `limits.line_bytes`.",
    )
    .flag("--max-buffer")
    .live(),
    key!(
        push.connection_bytes,
        SIZE,
        "Maximum bytes of messages that wait for one connection; the policy of their group says what happens to \
         more. A longer message is refused. A quarter of it while buffers are above nine tenths of \
         `limits.buffer_bytes`.",
    )
    .live(),
    key!(
        push.shard_bytes,
        SIZE,
        "Bytes of messages on their way to the connections of a thread above which the connections that send are \
         not read until half of them are given; above twice as much, messages are refused.",
    )
    .live(),
    key!(
        push.at_once,
        COUNT,
        "Connections that are woken for messages before the other connections of their thread run.",
    )
    .live(),
    key!(
        timeouts.request,
        off(TIME),
        "Maximum time to serve a batch of lines, including the wait for `limits.concurrency`; \
         then each of its lines is answered `ERR timeout`. It cannot interrupt a workload that \
         never waits.",
    )
    .flag("--request-timeout")
    .live(),
    key!(timeouts.idle, off(TIME), "Close a connection that sends no line in this time.")
        .flag("--idle-timeout")
        .live(),
    key!(
        timeouts.line,
        off(TIME),
        "Close a connection whose line is not complete this long after its first byte. A trickle \
         of bytes does not extend the deadline.",
    )
    .flag("--line-deadline")
    .live(),
    key!(
        timeouts.write,
        off(TIME),
        "Close a connection that reads neither 4 KiB nor all of its pending replies in this time.",
    )
    .flag("--write-timeout")
    .live(),
    key!(
        timeouts.handshake,
        TIME,
        "Maximum time for what comes before the first line: a PROXY header, a TLS handshake. A trickle \
         of bytes does not extend it.",
    )
    .flag("--handshake-deadline")
    .live(),
    key!(
        timeouts.age,
        off(AGE),
        "Age at which a connection ends in order, between two batches, so that clients connect again \
         and connections even out over replicas. Each connection has an age of its own within a tenth \
         of it, so that they do not all end at once.",
    )
    .flag("--max-age")
    .live(),
    key!(
        timeouts.drain,
        TIME,
        "Maximum time for open connections to finish when the server stops. Connections that are \
         still open then are cut, and the exit code is 1.",
    )
    .flag("--drain-deadline")
    .live(),
    key!(
        timeouts.drain_delay,
        off(TIME),
        "Time at the beginning of `timeouts.drain` in which a stopping server still accepts and \
         serves while `/readyz` says that it is draining, so that load balancers stop sending \
         before it stops accepting.",
    )
    .flag("--drain-delay")
    .live(),
    key!(
        timeouts.drain_spread,
        off(TIME),
        "Part of `timeouts.drain`, after the delay, over which connections are closed gradually, \
         so that clients do not all reconnect at once. Each is served until then.",
    )
    .flag("--drain-spread")
    .live(),
    key!(
        timeouts.linger,
        TIME,
        "Maximum time for a client to close its side of a connection that the server closes, so \
         that the last replies arrive. What the client still sends is discarded.",
    )
    .live(),
    key!(
        timeouts.half_close,
        off(TIME),
        "Maximum time to serve a batch after its client has closed its sending side, as a client \
         does that only waits for replies, and one that is gone. Then the call is cancelled and \
         the connection closed. A client that resets its connection ends it at once.",
    )
    .live(),
    key!(
        heartbeat.interval,
        off(TIME),
        "Send `ping` to a client after this much silence. Any line answers it.",
    )
    .flag("--heartbeat")
    .live(),
    key!(
        heartbeat.timeout,
        TIME,
        "Close a connection that sends no line in this time after a `ping`.",
    )
    .flag("--heartbeat-timeout")
    .live(),
    key!(
        socket.nodelay,
        BOOL,
        "TCP_NODELAY: replies are sent when they are written instead of waiting for more.",
    ),
    key!(
        socket.keepalive,
        off(KEEPALIVE),
        "TCP_KEEPIDLE: silence after which the kernel probes whether the client's host is still \
         there.",
    ),
    key!(
        socket.user_timeout,
        off(USER_TIMEOUT),
        "TCP_USER_TIMEOUT: maximum time that sent bytes may stay unacknowledged, or a client may read \
         nothing while replies wait, before the kernel closes the connection, which counts as \
         `peer_reset`. A longer `timeouts.write` does not delay that.",
    ),
    key!(
        socket.notsent_lowat,
        off(SIZE),
        "TCP_NOTSENT_LOWAT: bytes that the kernel queues unsent before the server has to wait.",
    ),
    key!(
        socket.receive_buffer,
        ReceiveBuffers(SIZE),
        "SO_RCVBUF: bytes that the kernel buffers of a connection that the server does not read \
         from; with its own overhead, twice that. A client sends at most this per round trip. \
         `auto` is 76KiB, and 512KiB once a client has sent much and taken its replies. `kernel` lets \
         the buffer grow to the maximum of net.ipv4.tcp_rmem.",
    ),
    key!(
        tls.cert,
        Paths,
        "PEM files with a certificate chain each. With it, lines are served over TLS, except by listeners \
         with the option `tls=off`. The files are read again on SIGHUP and when they change. Of several \
         certificates a client is shown the one for the name that it asks for; one that sends no name the \
         first.",
    )
    .flag("--tls-cert")
    .list(),
    key!(
        tls.key,
        Paths,
        "PEM files with the private keys of the certificates, in the same order.",
    )
    .flag("--tls-key")
    .list()
    .secret(),
    key!(
        tls.min_version,
        Words(TlsVersion::WORDS),
        "Oldest version of TLS that is spoken.",
    )
    .flag("--tls-min-version")
    .live(),
    key!(
        tls.client_ca,
        off(Path),
        "PEM file with the authorities that sign client certificates. With it, clients need one.",
    )
    .flag("--tls-client-ca"),
    key!(
        tls.client_crl,
        off(Path),
        "PEM file with lists of revoked client certificates, of the authorities in `tls.client_ca`.",
    )
    .flag("--tls-client-crl"),
    key!(
        tls.client_auth,
        Words(ClientAuth::WORDS),
        "Whether a client without a certificate is refused, where `tls.client_ca` is set.",
    )
    .flag("--tls-client-auth")
    .live(),
    key!(
        tls.client_allow,
        Names,
        "Names of the clients that may come, of those that `tls.client_ca` vouches for: DNS names and URIs \
         of the certificate, or its common name. `*` stands for any number of characters.",
    )
    .flag("--tls-client-allow")
    .list()
    .live(),
    key!(
        proxy_protocol.mode,
        Words(ProxyMode::WORDS),
        "Whether connections begin with a PROXY protocol header, version 1 or 2, in which a load \
         balancer passes on the client's address: `require` closes connections without one, \
         `optional` takes those of `proxy_protocol.trusted` with or without one. A listener may have \
         a mode of its own.",
    )
    .flag("--proxy-protocol"),
    key!(
        proxy_protocol.trusted,
        off(Networks),
        "Networks of the load balancers whose headers are believed, written as `limits.allow`. A \
         connection from elsewhere is closed if it has a header, or if one is required. Without them \
         every sender is believed, so keep such a listener on a network of your own.",
    )
    .flag("--proxy-trusted")
    .list()
    .live(),
    key!(
        proxy_protocol.deadline,
        TIME,
        "Maximum time from the accept to the end of the PROXY header.",
    )
    .live(),
    key!(log.level, Words(LogLevel::WORDS), "Least severe level that is logged.",)
        .flag("--log-level")
        .live(),
    key!(
        log.format,
        Words(LogFormat::WORDS),
        "Format of the log: `text` for people, `json` with one object per line for machines.",
    )
    .flag("--log-format"),
    key!(
        log.connections,
        Words(ConnectionLog::WORDS),
        "Which connections get a record in the log when they end, with their id, peer, reason, age, \
         lines, bytes and waits: `abnormal` those that end in disorder, such as a peer that stopped \
         reading or a service that failed, at most 100 per second and process; `all` also the \
         others, at most 1,000; `off` none. What is left out is counted in the log.",
    )
    .flag("--log-connections")
    .live(),
];
