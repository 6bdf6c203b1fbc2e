//! Settings of the server, and the socket options that they set.

use std::time::Duration;

use towline_config::Listen;

use super::MANY;
use crate::{
    Facts, Fix, Row, Scope, Target,
    row::{ACCEPTING, SERVER},
};

/// Most bytes worth queueing unsent in the kernel per connection, when there are many.
const NOTSENT_MOST: u32 = 128 * 1024;
/// Longest time for which unacknowledged bytes may keep a dead connection.
const DEAD_AFTER: Duration = Duration::from_secs(120);

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let settings = &target.settings;
    let socket = &settings.socket;
    let at = (Scope::Socket, SERVER);
    let limit = settings.limits.connections.map(|limit| u64::from(limit.get()));
    let (floor, ample) = (target.queue_floor(facts), target.queue(facts));
    let many = target.connections >= MANY;
    let checked = settings.heartbeat.interval.is_some() || socket.keepalive.is_some();
    vec![
        Row::at_least("limits.connections", (Scope::Process, SERVER), Some(limit.unwrap_or(u64::MAX)), (
            target.connections,
            target.connections,
        ))
        .showing(limit.map_or("auto".to_owned(), crate::grouped))
        .because("More connections than this are not accepted.")
        .fix(setting("limits.connections", target.connections)),
        Row::at_least("server.backlog", at, Some(settings.server.backlog.into()), (floor, ample))
            .because(backlog_why(target, "The configured length of each accept queue."))
            .fix(setting("server.backlog", ample)),
        Row::advised("socket.nodelay", at, Some(socket.nodelay), "true", Some(socket.nodelay))
            .because("The server batches replies itself; Nagle's algorithm would only delay small ones.")
            .fix(setting("socket.nodelay", "true")),
        Row::advised(
            "socket.notsent_lowat",
            at,
            Some(socket.notsent_lowat.map_or("off".to_owned(), |n| crate::grouped(n.into()))),
            if many { "at most 131,072" } else { "anything" },
            Some(!many || socket.notsent_lowat.is_some_and(|bytes| bytes <= NOTSENT_MOST)),
        )
        .because("A peer that does not read costs 181 KB of kernel memory with 16 KiB, and 4.3 MB without.")
        .fix(setting("socket.notsent_lowat", "16KiB")),
        Row::advised(
            "socket.user_timeout",
            at,
            Some(socket.user_timeout.map_or("off".to_owned(), |time| format!("{time:?}"))),
            "at most 120s",
            Some(socket.user_timeout.is_some_and(|time| time <= DEAD_AFTER)),
        )
        .because("Otherwise unacknowledged replies keep a connection to a dead peer for a quarter of an hour.")
        .fix(setting("socket.user_timeout", "30s")),
        Row::advised(
            "socket.keepalive",
            at,
            Some(socket.keepalive.map_or("off".to_owned(), |time| format!("{time:?}"))),
            "on, or heartbeat.interval",
            Some(checked),
        )
        .because("A silent dead peer is found by heartbeat or keep-alive only; without both, never.")
        .fix(setting("socket.keepalive", "60s")),
        port(facts, target),
    ]
}

/// Whether this process may listen on the configured port.
fn port(facts: &Facts, target: &Target) -> Row {
    let name = "net.ipv4.ip_unprivileged_port_start";
    // The lowest, which needs the most.
    let ports =
        target.settings.server.listen.iter().filter_map(|listener| match &listener.address {
            Listen::Tcp(address) if address.port() != 0 => Some(u64::from(address.port())),
            _ => None,
        });
    let port = ports.min().unwrap_or(0);
    let start = facts.sysctls.number(name);
    let allowed = port == 0 || facts.privileged_ports == Some(true);
    let need = if port == 0 {
        "anything".to_owned()
    } else {
        format!("at most {port}, or the capability")
    };
    let holds = start.map(|start| allowed || start <= port);
    Row::advised(name, (Scope::Namespace, ACCEPTING), start, need, holds)
        .failing()
        .because("Ports below it need CAP_NET_BIND_SERVICE.")
        .set_to(port)
}

pub(super) fn backlog_why(target: &Target, begins: &str) -> String {
    format!(
        "{begins} It must hold half a second of {} connects per second while the acceptor pauses; a \
         connect that does not fit is retried after 1, 3 or 7 seconds.",
        crate::grouped(target.burst)
    )
}

#[expect(clippy::needless_pass_by_value, reason = "numbers and texts, at many calls")]
fn setting(key: &'static str, value: impl ToString) -> Fix {
    Fix::Setting { key, value: value.to_string() }
}
