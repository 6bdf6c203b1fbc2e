//! How connections are made and closed: queues, handshakes, TIME_WAIT.

use super::{RUSH, settings::backlog_why};
use crate::{
    Facts, Row, Scope, Side, Target,
    row::{ACCEPTING, ALL, SERVER},
};

/// Duration of TIME_WAIT: a constant of the kernel.
const TIME_WAIT_SECONDS: u64 = 60;
/// TCP_FASTOPEN's bit for listening sockets.
const FASTOPEN_SERVER: u64 = 2;

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let at = (Scope::Namespace, ACCEPTING);
    let (floor, ample) = (target.queue_floor(facts), target.queue(facts));
    let number = |name| facts.sysctls.number(name);
    let rush = target.burst >= RUSH;
    let is = |name: &'static str, at, wanted: u64| {
        let holds = number(name).map(|value| value == wanted);
        Row::advised(name, at, number(name), wanted.to_string(), holds).set_to(wanted)
    };
    let fastopen = number("net.ipv4.tcp_fastopen");
    let closed = (TIME_WAIT_SECONDS * target.burst).min(target.connections);
    let mut rows = vec![
        Row::at_least("net.core.somaxconn", at, number("net.core.somaxconn"), (floor, ample))
            .because(backlog_why(target, "Silently caps every listener's accept queue."))
            .set_to(ample),
        Row::at_least(
            "net.ipv4.tcp_max_syn_backlog",
            at,
            number("net.ipv4.tcp_max_syn_backlog"),
            (0, floor),
        )
        .because("Half-open connections per listener; matters only where SYN cookies are off.")
        .set_to(ample),
        is("net.ipv4.tcp_syncookies", at, 1)
            .because("Otherwise a flood of half-open connections blocks all new ones."),
        is("net.ipv4.tcp_abort_on_overflow", at, 0)
            .because("A full queue then resets peers that would have been accepted a second later."),
        Row::at_most("net.ipv4.tcp_synack_retries", at, facts, if rush { 3 } else { 5 })
            .because("Half-open connections live 63 s with 5 and 15 s with 3; a burst piles them up."),
        Row::at_most("net.ipv4.tcp_fin_timeout", at, facts, if rush { 30 } else { 60 })
            .because("Seconds for which half-closed connections without a process stay."),
        Row::at_least(
            "net.ipv4.tcp_max_tw_buckets",
            (Scope::Namespace, ALL),
            number("net.ipv4.tcp_max_tw_buckets"),
            (0, closed),
        )
        .because(
            "A closed connection stays in TIME_WAIT for 60 s on the side that closed first; beyond this \
             number the state is skipped, and late packets may reach a new connection.",
        )
        .set_to(closed),
        Row::advised(
            "net.ipv4.tcp_slow_start_after_idle",
            (Scope::Namespace, SERVER),
            number("net.ipv4.tcp_slow_start_after_idle"),
            if long_lines(target) { "0" } else { "anything" },
            number("net.ipv4.tcp_slow_start_after_idle").map(|value| value == 0 || !long_lines(target)),
        )
        .because("After silence, replies of more than 14 KB take as many round trips as on a new connection.")
        .set_to(0),
        Row::advised(
            "net.ipv4.tcp_fastopen",
            at,
            fastopen,
            "without bit 2",
            fastopen.map(|bits| bits & FASTOPEN_SERVER == 0),
        )
        .because("Lines in a SYN can be replayed by anyone on the path.")
        .set_to(fastopen.unwrap_or(0) & !FASTOPEN_SERVER),
    ];
    rows.extend(counters(facts, target));
    rows
}

/// Whether the line limit was raised, so that long lines are expected.
fn long_lines(target: &Target) -> bool {
    const USUAL: usize = 64 * 1024;
    target.settings.limits.line_bytes > USUAL
}

/// Failures so far, counted since the namespace was created: what matters is whether they grow.
fn counters(facts: &Facts, target: &Target) -> Vec<Row> {
    let count = |name: &'static str, counter: &str, sides: &'static [Side], why: &str| {
        let value = facts.counter(counter);
        Row::advised(name, (Scope::Namespace, sides), value, "0", value.map(|n| n == 0))
            .because(why)
    };
    let mut rows = vec![
        count(
            "ListenOverflows",
            "ListenOverflows",
            ACCEPTING,
            "Connects that met a full accept queue since the namespace was created; compare again later.",
        ),
        count(
            "SyncookiesSent",
            "SyncookiesSent",
            ACCEPTING,
            "Handshakes that met a full queue of half-open connections since the namespace was created.",
        ),
        count(
            "TCPAbortOnMemory",
            "TCPAbortOnMemory",
            ALL,
            "Connections that the kernel reset because TCP exceeded tcp_mem, since the namespace was created.",
        ),
    ];
    if target.side.loads() {
        rows.push(count(
            "TCPTimeWaitOverflow",
            "TCPTimeWaitOverflow",
            ALL,
            "Connections that skipped TIME_WAIT since the namespace was created: see tcp_max_tw_buckets.",
        ));
    }
    rows
}
