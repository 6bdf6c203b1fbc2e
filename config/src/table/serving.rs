//! The keys of what is served, and where: `server`, `admin`, `workload`, `flush`.

use super::{C_INT, SWITCH, auto, key, off};
use crate::{
    grammar::{Address, Count, FlushPolicies, Listeners, Path, ProcessCount, SocketPath, Words},
    key::{Field, Key},
    settings::{Digest, Framing, Settings, WorkloadKind},
};

pub(super) static KEYS: &[Key] = &[
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
];
