//! The one table of keys. Files, environment, flags, `towline config`, the reference file and the
//! help texts all derive from it; a key added here is known everywhere.
//!
//! A key's name is the path of its field in [`crate::Settings`], so neither can drift from the other.

use std::time::Duration;

use crate::{
    grammar::{Address, Count, Every, ListenAddress, Or, Path, ProcessCount, Size, Time, Words},
    key::{Field, Key},
    settings::{
        Admission, Digest, Framing, LogFormat, LogLevel, Overload, ProxyMode, Settings,
        WorkloadKind,
    },
};

/// A key for the field of that path.
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

/// The TOML tables, with what they are about.
#[cfg(feature = "file")]
pub(crate) const SECTIONS: &[(&str, &str)] = &[
    ("server", "Where it serves, and with how many threads and processes."),
    ("workload", "What it does with a line."),
    ("flush", "When replies are written."),
    ("limits", "How much it takes on, and what happens at the limit."),
    ("timeouts", "How long it waits."),
    ("heartbeat", "How it tells a quiet peer from a dead one."),
    ("socket", "Options of the accepted sockets."),
    ("tls", "Encryption of the lines."),
    ("proxy_protocol", "The client's address, when a proxy stands in front."),
    ("log", "What it tells about itself, on standard error."),
];

const GIB: u64 = 1 << 30;
/// listen(2), setsockopt(2) and friends take a C int.
const C_INT: u32 = i32::MAX.cast_unsigned();
const COUNT: Count = Count { min: 1, max: u32::MAX };
const SIZE: Size = Size { min: 1, max: GIB };
/// Less would be over its limit with a single full block.
const BUDGET: Size = Size { min: 1 << 20, max: 1024 * GIB };
/// Up to a year: every clock can add that without overflow.
const TIME: Time = milliseconds_up_to(Duration::from_secs(8760 * 3600));
/// TCP_USER_TIMEOUT is a C int of milliseconds.
const USER_TIMEOUT: Time = milliseconds_up_to(Duration::from_secs(24 * 86_400));
/// TCP_KEEPIDLE is counted in seconds, in 15 bits.
const KEEPALIVE: Time =
    Time { max: Duration::from_secs(32_767), step: Duration::from_secs(1), unit: "seconds" };
const BOOL: Words<bool> = Words(&[("true", true), ("false", false)]);

const NO_TLS: &str = "TLS is not built into this version";
const NO_PROXY_PROTOCOL: &str = "the PROXY protocol is not built into this version";

const fn milliseconds_up_to(max: Duration) -> Time {
    Time { max, step: Duration::from_millis(1), unit: "milliseconds" }
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

static KEYS: &[Key] = &[
    key!(
        server.listen,
        ListenAddress,
        "Address on which lines are served. Port 0 takes any free port; the line printed at start \
         names it. `unix:/path` listens on a Unix socket.",
    )
    .flag("--listen"),
    key!(
        server.admin,
        Or { word: "off", inner: Address },
        "Address of the admin port: metrics, health, configuration and a live page over HTTP. It \
         asks for no password, so keep it on an address that only you can reach.",
    )
    .flag("--admin"),
    key!(
        server.threads,
        Or { word: "auto", inner: Count { min: 1, max: 1024 } },
        "Threads that serve lines, in each process. `auto` is one a core, shared out among the \
         processes; a connection stays on the thread it was given to.",
    )
    .flag("--threads"),
    key!(
        server.processes,
        ProcessCount,
        "Processes that serve behind the port. A process cannot have more connections than \
         descriptors; `auto` starts as many processes as `limits.connections` needs. With several, \
         one more listens, watches over them and serves no line.",
    )
    .flag("--processes"),
    key!(
        server.backlog,
        Count { min: 1, max: C_INT },
        "Connections that may wait in the kernel to be accepted. The kernel caps it at \
         net.core.somaxconn.",
    )
    .flag("--backlog"),
    key!(
        workload.kind,
        Words(&[("echo", WorkloadKind::Echo), ("sha256", WorkloadKind::Sha256)]),
        "What is done with a line: `echo` sends it back, `sha256` hashes it.",
    )
    .flag("--workload")
    .live(),
    key!(
        workload.digest,
        Words(&[("reply", Digest::Reply), ("discard", Digest::Discard)]),
        "What becomes of the digest under `sha256`: `reply` answers it as 64 hex digits, `discard` \
         drops it and answers the line itself. `echo` has no digest and ignores this.",
    )
    .flag("--digest")
    .live(),
    key!(
        workload.framing,
        Words(&[("batch", Framing::Batch), ("lines", Framing::Lines)]),
        "How bytes become lines: `batch` takes all complete lines of a read at once and leaves \
         their bytes alone; `lines` makes a UTF-8 string of each, the plain way, and costs more.",
    )
    .flag("--framing"),
    key!(
        flush.policy,
        Every,
        "When replies are written to the socket: `auto` when no more lines are at hand or much \
         waits to be written, `line` after every line, `every:N` after N lines and when no more \
         are at hand. No policy keeps a reply back while a peer waits for it.",
    )
    .flag("--flush")
    .live(),
    key!(
        limits.connections,
        Or { word: "auto", inner: COUNT },
        "Connections open at once. `auto` is what descriptors and memory allow; a number above \
         that refuses to start and says why.",
    )
    .flag("--max-connections")
    .live(),
    key!(
        limits.connections_per_ip,
        Or { word: "off", inner: COUNT },
        "Connections open at once from one IPv4 address or IPv6 /64 network. \
         Further ones are answered `ERR too many connections from your address` and closed. Behind \
         a balancer all come from its address. A reload that sets it counts from then on.",
    )
    .flag("--max-connections-per-ip")
    .live(),
    key!(
        limits.accept_rate,
        Or { word: "off", inner: Count { min: 1, max: 1_000_000 } },
        "Connections let in a second; after a quiet second as many may come at \
         once. What comes faster meets what `limits.admission` says.",
    )
    .flag("--max-accept-rate")
    .live(),
    key!(
        limits.admission,
        Words(&[("wait", Admission::Wait), ("reject", Admission::Reject)]),
        "What a connection above `limits.connections` meets: `wait` leaves it in the kernel's \
         queue until another ends, `reject` answers `ERR too many connections` and closes it.",
    )
    .flag("--admission")
    .live(),
    key!(
        limits.line_bytes,
        SIZE,
        "Longest line, its terminator not counted. A longer one is answered `ERR line too long` \
         and the connection closed.",
    )
    .flag("--max-line")
    .live(),
    key!(
        limits.concurrency,
        COUNT,
        "Batches of lines being served at once, in each process. It binds only workloads that \
         wait; idle connections do not count.",
    )
    .flag("--concurrency")
    .live(),
    key!(
        limits.overload,
        Words(&[("wait", Overload::Wait), ("shed", Overload::Shed)]),
        "What a batch above `limits.concurrency` meets: `wait` lets it wait within \
         `timeouts.request`, `shed` answers `ERR overloaded` for each of its lines at once.",
    )
    .flag("--overload")
    .live(),
    key!(
        limits.output_bytes,
        SIZE,
        "Replies one connection may leave unread before the server stops reading from it.",
    )
    .flag("--max-output")
    .live(),
    key!(
        limits.buffer_bytes,
        Or { word: "auto", inner: BUDGET },
        "Memory for unfinished lines, batches being served and unread replies of all connections, \
         shared out among the processes; `auto` is a quarter of what the host or its control group \
         has left at start. \
         From half of it on, an unread reply stops its connection from being read. \
         Near it timeouts shrink, then lines are answered `ERR overloaded`, then connections meet \
         what `limits.admission` says.",
    )
    .flag("--max-buffer")
    .live(),
    key!(
        timeouts.request,
        Or { word: "off", inner: TIME },
        "Time to serve a batch of lines, the wait for `limits.concurrency` included; then each \
         line is answered `ERR timeout`. It cannot interrupt a workload that never waits.",
    )
    .flag("--request-timeout")
    .live(),
    key!(
        timeouts.idle,
        Or { word: "off", inner: TIME },
        "Time without a line after which a connection is closed.",
    )
    .flag("--idle-timeout")
    .live(),
    key!(
        timeouts.line,
        Or { word: "off", inner: TIME },
        "Time from a line's first byte to its end, after which the connection is closed. A \
         trickle of bytes does not extend it.",
    )
    .flag("--line-deadline")
    .live(),
    key!(
        timeouts.write,
        Or { word: "off", inner: TIME },
        "Time in which a peer must take 4 KiB of the replies that wait for it, or all of them, before \
         it is closed.",
    )
    .flag("--write-timeout")
    .live(),
    key!(
        timeouts.drain,
        TIME,
        "Time for open connections to finish when the server stops; those left then are cut, and \
         the exit code is 1.",
    )
    .flag("--drain-deadline")
    .live(),
    key!(
        timeouts.drain_delay,
        Or { word: "off", inner: TIME },
        "Time within `timeouts.drain` in which a server that stops still accepts and serves while \
         `/readyz` says that it is draining, so that balancers stop sending before it stops taking.",
    )
    .flag("--drain-delay")
    .live(),
    key!(
        timeouts.drain_spread,
        Or { word: "off", inner: TIME },
        "Time within `timeouts.drain`, after the delay, over which connections are told to go, so \
         that not all of them come again at once. Each is served until its turn.",
    )
    .flag("--drain-spread")
    .live(),
    key!(
        timeouts.linger,
        TIME,
        "Time a connection that the server ends is given to close its side, so that the last \
         replies arrive; what it still sends meanwhile is read and forgotten.",
    )
    .live(),
    key!(
        heartbeat.interval,
        Or { word: "off", inner: TIME },
        "Silence after which a peer is sent `ping`, which it answers with any line.",
    )
    .flag("--heartbeat")
    .live(),
    key!(
        heartbeat.timeout,
        TIME,
        "Time a peer has to send a line after a `ping` before it is closed.",
    )
    .flag("--heartbeat-timeout")
    .live(),
    key!(
        socket.nodelay,
        BOOL,
        "TCP_NODELAY: replies leave when they are written instead of waiting for more.",
    ),
    key!(
        socket.keepalive,
        Or { word: "off", inner: KEEPALIVE },
        "TCP_KEEPIDLE: silence after which the kernel probes whether the peer's host is there.",
    ),
    key!(
        socket.user_timeout,
        Or { word: "off", inner: USER_TIMEOUT },
        "TCP_USER_TIMEOUT: time that sent bytes may stay unacknowledged before the kernel gives \
         the connection up.",
    ),
    key!(
        socket.notsent_lowat,
        Or { word: "off", inner: Size { min: 1, max: GIB } },
        "TCP_NOTSENT_LOWAT: bytes the kernel queues unsent before it tells the server to wait.",
    ),
    key!(
        socket.receive_buffer,
        Or { word: "auto", inner: Size { min: 1, max: GIB } },
        "SO_RCVBUF: bytes the kernel holds of a connection that the server does not read from, twice \
         that with its own books. With auto it lets them grow to the largest of net.ipv4.tcp_rmem, \
         which a peer needs that sends more than this in a round trip.",
    ),
    key!(
        tls.cert,
        Or { word: "off", inner: Path },
        "PEM file with the certificate and its chain; with it lines are served over TLS only.",
    )
    .flag("--tls-cert")
    .missing(NO_TLS),
    key!(tls.key, Or { word: "off", inner: Path }, "PEM file with the certificate's private key.",)
        .flag("--tls-key")
        .missing(NO_TLS)
        .secret(),
    key!(
        tls.client_ca,
        Or { word: "off", inner: Path },
        "PEM file with the authorities that clients' certificates must come from.",
    )
    .flag("--tls-client-ca")
    .missing(NO_TLS),
    key!(
        proxy_protocol.mode,
        Words(&[("off", ProxyMode::Off), ("require", ProxyMode::Require)]),
        "Whether connections begin with a PROXY protocol header, as a load balancer sends it to \
         pass on the client's address: `require` closes those without.",
    )
    .flag("--proxy-protocol")
    .missing(NO_PROXY_PROTOCOL),
    key!(
        log.level,
        Words(&[
            ("error", LogLevel::Error),
            ("warn", LogLevel::Warn),
            ("info", LogLevel::Info),
            ("debug", LogLevel::Debug),
            ("trace", LogLevel::Trace),
        ]),
        "How much is logged: this level and the more serious ones.",
    )
    .flag("--log-level")
    .live(),
    key!(
        log.format,
        Words(&[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        "How it is logged: `text` for people, `json` an object a line for machines.",
    )
    .flag("--log-format"),
];
