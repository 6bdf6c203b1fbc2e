//! The keys of limits: `limits`, `push`.

use super::{BUDGET, COUNT, SIZE, auto, key, off};
use crate::{
    grammar::{Count, Networks, Words},
    key::{Field, Key},
    settings::{Admission, Overload, Settings},
};

pub(super) static KEYS: &[Key] = &[
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
        limits.lines_per_ip,
        off(Count { min: 1, max: 100_000_000 }),
        "Maximum lines per second from one IPv4 address or IPv6 /64 network, of all its connections \
         together, with a burst of one second's worth. Lines above it wait, a minute at most, and the \
         server stops reading from their connection. Each process counts by itself. The last 65,536 \
         addresses are remembered.",
    )
    .flag("--max-lines-per-ip")
    .live(),
    key!(
        limits.bytes_per_ip,
        off(SIZE),
        "Maximum bytes of lines per second from one IPv4 address or IPv6 /64 network, as \
         `limits.lines_per_ip` counts lines.",
    )
    .flag("--max-bytes-per-ip")
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
];
