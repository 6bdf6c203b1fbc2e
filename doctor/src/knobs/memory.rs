//! Memory: the host's, the control group's, and what TCP may take of it.

use super::MANY;
use crate::{
    Facts, Fix, Row, Scope, Target, bytes, cost, grouped,
    row::{ALL, SERVER},
};

const PAGE: u64 = 4096;
/// Most a buffer should grow to by itself when there are many: receiving, and sending.
const RECEIVE_MOST: u64 = 1 << 20;
const SEND_MOST: u64 = 256 << 10;
/// What SO_RCVBUF and SO_SNDBUF may be asked for.
const ASKED: u64 = 64 << 10;
/// Share of `tcp_mem`'s largest value above which there is little left, in percent.
const TCP_FULL: u64 = 70;

pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let need = target.bytes(facts);
    let ample = need / 100 * cost::MEMORY_HEADROOM;
    let (pages, fields) = tcp_pages(facts, target);
    let mut rows = vec![
        Row::at_least(
            "memory available",
            (Scope::Host, ALL),
            facts.memory.available,
            (need, ample),
        )
        .showing(bytes(facts.memory.available.unwrap_or(0)))
        .needing(format!("at least {}", bytes(ample)))
        .because(format!(
            "{} bytes a quiet connection with the kernel's share, {} for the {} % that are busy, \
                 a third to spare. Beyond, the kernel kills.",
            grouped(target.bytes_quiet()),
            bytes(target.bytes_busy()),
            target.active_percent
        ))
        .fix(Fix::Words("fewer connections, more memory, or another host".to_owned())),
    ];
    let group = facts.group.memory;
    let left = group.map_or(u64::MAX, |group| group.left());
    rows.push(
        Row::at_least("memory cgroup limit", (Scope::Process, ALL), Some(left), (need, ample))
            .showing(group.map_or("unlimited".to_owned(), |group| {
                format!("{} of {} left", bytes(left), bytes(group.limit))
            }))
            .needing(format!("at least {}", bytes(ample)))
            .because("The limit counts socket buffers and kernel objects too; at it, the group is killed.")
            .fix(Fix::Memory(ample + group.map_or(0, |group| group.used))),
    );
    rows.push(
        Row::at_least(
            "net.ipv4.tcp_mem",
            (Scope::Host, ALL),
            facts.sysctls.field("net.ipv4.tcp_mem", 1),
            (0, pages),
        )
        .showing(facts.sysctls.text("net.ipv4.tcp_mem").unwrap_or_default())
        .needing(format!("second at least {}", grouped(pages)))
        .because(
            "Pages of socket buffers for the whole host: above the second TCP saves, above the third \
             it cuts connections. Quiet sockets hold none.",
        )
        .set_to(fields),
    );
    let most = facts.sysctls.field("net.ipv4.tcp_mem", 2);
    let used = facts.tcp.map(|tcp| tcp.pages);
    let full = most.zip(used).map(|(most, used)| used * 100 <= most * TCP_FULL);
    rows.push(
        Row::advised(
            "TCP memory in use",
            (Scope::Host, ALL),
            used,
            "at most 70 % of tcp_mem",
            full,
        )
        .because("Near the limit replies stall and connections are cut.")
        .fix(Fix::Words("find who does not read: `ss -tm`; or raise net.ipv4.tcp_mem".to_owned())),
    );
    let tuning = [
        ("net.ipv4.tcp_rmem", RECEIVE_MOST, "4096 16384 1048576"),
        ("net.ipv4.tcp_wmem", SEND_MOST, "4096 16384 262144"),
    ];
    rows.extend(tuning.map(|(name, most, set)| {
        let largest = facts.sysctls.field(name, 2);
        let many = target.connections >= MANY;
        let need =
            if many { format!("third at most {}", grouped(most)) } else { "anything".to_owned() };
        let holds = largest.map(|largest| !many || largest <= most);
        Row::advised(name, (Scope::Namespace, ALL), facts.sysctls.text(name), need, holds)
            .because(
                "A connection's buffer may grow to the third, twice over; many of them may not.",
            )
            .set_to(set)
    }));
    rows.extend(["net.core.rmem_max", "net.core.wmem_max"].map(|name| {
        let value = facts.sysctls.number(name);
        Row::at_least(name, (Scope::Host, ALL), value, (0, ASKED))
            .because("Caps what a socket may ask for its buffers.")
            .set_to(ASKED)
    }));
    let orphans = target.connections / 10;
    rows.push(
        Row::at_least(
            "net.ipv4.tcp_max_orphans",
            (Scope::Host, ALL),
            facts.sysctls.number("net.ipv4.tcp_max_orphans"),
            (0, orphans),
        )
        .because("Closed connections with bytes unsent; beyond this many they are reset.")
        .set_to(orphans),
    );
    let swap = facts.memory.swap;
    rows.push(
        Row::advised(
            "swap",
            (Scope::Host, SERVER),
            swap.map(|swap| if swap == 0 { "off".to_owned() } else { bytes(swap) }),
            if target.connections >= MANY { "off" } else { "anything" },
            swap.map(|swap| swap == 0 || target.connections < MANY),
        )
        .because("A connection whose memory was swapped out answers after a disk read.")
        .fix(Fix::Words("swapoff -a, or a group without swap (memory.swap.max = 0)".to_owned())),
    );
    let huge = facts.huge_pages.as_deref();
    rows.push(
        Row::advised("transparent huge pages", (Scope::Host, ALL), huge, "madvise or never", huge.map(|mode| mode != "always"))
            .because("Small buffers then round up to 2 MiB, and resident memory says little. towline opts out for its own.")
            .fix(Fix::Words("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned())),
    );
    rows
}

/// Pages TCP should be able to use before it begins to save, and the three fields that say so.
fn tcp_pages(facts: &Facts, target: &Target) -> (u64, String) {
    let pages = (target.bytes_busy() * target.side.ends()).div_ceil(PAGE) * 3 / 2;
    let field =
        |place, least: u64| facts.sysctls.field("net.ipv4.tcp_mem", place).unwrap_or(0).max(least);
    let text =
        format!("{} {} {}", field(0, pages / 4 * 3), field(1, pages), field(2, pages / 2 * 3));
    (pages, text)
}
