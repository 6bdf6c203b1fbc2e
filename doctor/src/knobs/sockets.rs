//! How connections come and go: queues, handshakes, and what stays behind.

use super::{RUSH, settings::backlog_why};
use crate::{
    Facts, Row, Scope, Side, Target,
    row::{ACCEPTING, ALL, SERVER},
};

/// How long TIME_WAIT lasts: a constant of the kernel.
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
            .because(backlog_why(target, "Caps every accept queue, without a word."))
            .set_to(ample),
        Row::at_least(
            "net.ipv4.tcp_max_syn_backlog",
            at,
            number("net.ipv4.tcp_max_syn_backlog"),
            (0, floor),
        )
        .because("Half-open connections a listener keeps; decides only where SYN cookies are off.")
        .set_to(ample),
        is("net.ipv4.tcp_syncookies", at, 1)
            .because("A flood of half-open connections shuts everybody out otherwise."),
        is("net.ipv4.tcp_abort_on_overflow", at, 0)
            .because("A full queue then resets peers that would have got in a second later."),
        Row::at_most("net.ipv4.tcp_synack_retries", at, facts, if rush { 3 } else { 5 })
            .because("Half-open connections live 63 s with 5, 15 s with 3; a rush piles them up."),
        Row::at_most("net.ipv4.tcp_fin_timeout", at, facts, if rush { 30 } else { 60 })
            .because("Seconds that half-closed connections without an owner stay."),
        Row::at_least(
            "net.ipv4.tcp_max_tw_buckets",
            (Scope::Namespace, ALL),
            number("net.ipv4.tcp_max_tw_buckets"),
            (0, closed),
        )
        .because(
            "Closing leaves a connection in TIME_WAIT for 60 s on the side that closed first; beyond \
             this many it is skipped, and late packets may hit a new connection.",
        )
        .set_to(closed),
        Row::advised(
            "net.ipv4.tcp_slow_start_after_idle",
            (Scope::Namespace, SERVER),
            number("net.ipv4.tcp_slow_start_after_idle"),
            if long_lines(target) { "0" } else { "anything" },
            number("net.ipv4.tcp_slow_start_after_idle").map(|value| value == 0 || !long_lines(target)),
        )
        .because("After silence, replies of more than 14 KB take round trips as on a new connection.")
        .set_to(0),
        Row::advised(
            "net.ipv4.tcp_fastopen",
            at,
            fastopen,
            "without bit 2",
            fastopen.map(|bits| bits & FASTOPEN_SERVER == 0),
        )
        .because("Lines in a SYN can be replayed by anybody who saw them.")
        .set_to(fastopen.unwrap_or(0) & !FASTOPEN_SERVER),
    ];
    rows.extend(counters(facts, target));
    rows
}

/// Whether somebody raised the limit of a line, and so expects long ones.
fn long_lines(target: &Target) -> bool {
    const USUAL: usize = 64 * 1024;
    target.settings.limits.line_bytes > USUAL
}

/// What has gone wrong already. Counts since the namespace began: what matters is whether they grow.
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
            "Connects that met a full accept queue since the namespace began; compare again later.",
        ),
        count(
            "SyncookiesSent",
            "SyncookiesSent",
            ACCEPTING,
            "Handshakes that met a full queue of half-open connections since the namespace began.",
        ),
        count(
            "TCPAbortOnMemory",
            "TCPAbortOnMemory",
            ALL,
            "Connections that the kernel cut because TCP was above tcp_mem since the namespace began.",
        ),
    ];
    if target.side.loads() {
        rows.push(count(
            "TCPTimeWaitOverflow",
            "TCPTimeWaitOverflow",
            ALL,
            "Connections that skipped TIME_WAIT since the namespace began: see tcp_max_tw_buckets.",
        ));
    }
    rows
}
