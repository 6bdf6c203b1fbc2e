//! Processors, packet queues and clocks.

use super::MANY;
use crate::{Facts, Fix, Row, Scope, Side, Target, row::ALL};

/// Packets per second from which the kernel's default queue of 1,000 per processor overflows in bursts.
const PACKETS_MANY: u64 = 100_000;
const QUEUE: u64 = 10_000;
const BUDGET: u64 = 600;
/// Sockets per bucket of the kernel's hash table above which every packet walks a chain.
const SOCKETS_A_BUCKET: u64 = 2;
/// Largest value that `tcp_child_ehash_entries` accepts.
const BUCKETS_MAX: u64 = 1 << 24;
/// Packets per connect, and per line with its reply, acknowledgements included.
const PACKETS_CONNECT: u64 = 3;
const PACKETS_LINE: u64 = 4;

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let number = |name| facts.sysctls.number(name);
    let packets = target.burst * PACKETS_CONNECT + target.lines_per_second * PACKETS_LINE;
    let packets = packets * target.side.ends();
    let queue = if packets > PACKETS_MANY { QUEUE } else { 0 };
    let softnet = facts.softnet;
    let squeezed = softnet.is_some_and(|softnet| softnet.squeezes > 0) && packets > PACKETS_MANY;
    let off = |name: &'static str| {
        let holds = number(name).map(|value| value == 0);
        Row::advised(name, (Scope::Host, ALL), number(name), "0", holds)
            .because("Polls for packets on the processor that serves lines.")
            .set_to(0)
    };
    let mut rows = vec![
        Row::at_least(
            "net.core.netdev_max_backlog",
            (Scope::Host, ALL),
            number("net.core.netdev_max_backlog"),
            (0, queue),
        )
        .because("Packets that may wait for a processor, loopback and container traffic included; beyond, they are dropped.")
        .set_to(QUEUE),
        Row::advised(
            "softnet drops",
            (Scope::Host, ALL),
            softnet.map(|softnet| softnet.drops),
            "0",
            softnet.map(|softnet| softnet.drops == 0),
        )
        .because("Packets dropped since boot because netdev_max_backlog was full; each costs a client 200 ms or more. \
             Raise it if the count still grows.")
        .fix(Fix::Sysctl {
            key: "net.core.netdev_max_backlog",
            value: QUEUE.to_string(),
            scope: Scope::Host,
        }),
        Row::at_least(
            "net.core.netdev_budget",
            (Scope::Host, ALL),
            number("net.core.netdev_budget"),
            (0, if squeezed { BUDGET } else { 0 }),
        )
        .because("Packets that a processor takes per poll; it has stopped with more waiting.")
        .set_to(BUDGET),
        buckets(facts, target),
        congestion(facts),
        off("net.core.busy_poll"),
        off("net.core.busy_read"),
        clock(facts),
    ];
    rows.extend(cpu(facts, target));
    rows
}

/// The hash table in which the kernel finds the socket of a packet. A namespace that shares the host's
/// table shows its size as a negative number (kernel documentation, ip-sysctl).
fn buckets(facts: &Facts, target: &Target) -> Row {
    let name = "net.ipv4.tcp_ehash_entries";
    let entries =
        facts.sysctls.text(name).and_then(|text| text.trim_start_matches('-').parse().ok());
    let sockets = target.connections * target.side.ends();
    let need = (sockets / SOCKETS_A_BUCKET).next_power_of_two().min(BUCKETS_MAX);
    Row::at_least(name, (Scope::Host, ALL), entries, (0, need))
        .because("Every packet walks the chain of sockets in its bucket.")
        .fix(Fix::Words(format!(
            "boot with thash_entries={need}, or on the host: sysctl -w \
             net.ipv4.tcp_child_ehash_entries={need}, which applies to network namespaces created after it"
        )))
}

fn congestion(facts: &Facts) -> Row {
    let name = "net.ipv4.tcp_congestion_control";
    let control = facts.sysctls.text(name);
    let discipline = facts.sysctls.text("net.core.default_qdisc");
    // Unknown where the host's queueing discipline cannot be read: bbr needs fq.
    let holds = control.and_then(|control| match (control, discipline) {
        ("bbr", None) => None,
        ("bbr", Some(discipline)) => Some(discipline == "fq"),
        _ => Some(true),
    });
    let value = control.map(|control| match discipline {
        Some(discipline) => format!("{control} with {discipline}"),
        None => control.to_owned(),
    });
    Row::advised(name, (Scope::Namespace, ALL), value, "cubic, or bbr with fq", holds)
        .because("bbr paces packets; without fq that is one timer per connection.")
        .set_to("cubic")
}

fn clock(facts: &Facts) -> Row {
    let clock = facts.clocksource.as_deref();
    let good = ["tsc", "kvm-clock", "arch_sys_counter"];
    let holds = clock.map(|clock| good.contains(&clock));
    Row::advised("clocksource", (Scope::Host, ALL), clock, "tsc or kvm-clock", holds)
        .because("Reading another clock is a system call of about a microsecond, and each wait reads it.")
        .fix(Fix::Words(
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource"
                .to_owned(),
        ))
}

/// A row for the CPU quota, where one is set.
fn cpu(facts: &Facts, target: &Target) -> Option<Row> {
    let quota = facts.cgroup.cpu?;
    // Threads that run at once: at most as many as there are cores.
    let processes = target.processes(facts);
    let threads = processes * target.threads(facts, processes);
    let threads = threads.min(facts.cores.unwrap_or(u64::MAX));
    let serves = target.side != Side::Load && target.connections >= MANY;
    let enough = !serves || quota.cores + 0.01 >= threads as f64;
    let shown = format!("{:.2} cores, throttled {} times", quota.cores, quota.throttled);
    let need =
        if serves { format!("at least {threads} cores, 0 times") } else { "0 times".to_owned() };
    let row = Row::advised(
        "cpu cgroup quota",
        (Scope::Process, ALL),
        Some(shown),
        need,
        Some(enough && quota.throttled == 0),
    );
    let cores = (quota.cores.ceil() as u64).max(1);
    Some(
        row.because("A control group that has used its quota is stopped for up to 100 ms.")
            .fix(Fix::Setting { key: "server.threads", value: cores.to_string() }),
    )
}
