//! The keys of times and sockets: `timeouts`, `heartbeat`, `socket`.

use super::{AGE, BOOL, KEEPALIVE, SIZE, TIME, USER_TIMEOUT, key, off};
use crate::{
    grammar::ReceiveBuffers,
    key::{Field, Key},
    settings::Settings,
};

pub(super) static KEYS: &[Key] = &[
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
];
