//! Memory of the host and the control group, and TCP's part of it.

use towline_config::ReceiveBuffer;

use super::MANY;
use crate::{
    Facts, Fix, Row, Scope, Side, Target, bytes, cost, grouped,
    row::{ALL, SERVER},
};

const PAGE: u64 = 4096;
/// Largest automatic size of a socket's buffer when there are many: receive, send.
const RECEIVE_MOST: u64 = 1 << 20;
const SEND_MOST: u64 = 256 << 10;
/// Buffer size that SO_RCVBUF and SO_SNDBUF must be able to request.
const ASKED: u64 = 64 << 10;
/// Use of `tcp_mem`'s largest value, in percent, above which little is left.
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
            "{} bytes per quiet connection, the kernel's part included, {} for the {} % that are \
                 busy, and a third to spare. Without it the kernel kills processes.",
            grouped(target.bytes_quiet()),
            bytes(target.bytes_busy()),
            target.active_percent
        ))
        .fix(Fix::Words("fewer connections, more memory, or another host".to_owned())),
    ];
    let group = facts.cgroup.memory;
    let left = group.map_or(u64::MAX, |group| group.left());
    rows.push(
        Row::at_least("memory cgroup limit", (Scope::Process, ALL), Some(left), (need, ample))
            .showing(group.map_or("unlimited".to_owned(), |group| {
                format!("{} of {} left", bytes(left), bytes(group.limit))
            }))
            .needing(format!("at least {}", bytes(ample)))
            .because("The limit counts socket buffers and kernel objects too; when it is reached, the group is killed.")
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
            "Pages of socket buffers on the whole host: above the second value TCP saves memory, above \
             the third it resets connections. Quiet sockets use none.",
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
        .because("Near the limit replies stall and connections are reset.")
        .fix(Fix::Words(
            "find the peers that do not read: `ss -tm`; or raise net.ipv4.tcp_mem".to_owned(),
        )),
    );
    rows.extend(buffer_sizes(facts, target));
    rows.extend(["net.core.rmem_max", "net.core.wmem_max"].map(|name| {
        let value = facts.sysctls.number(name);
        Row::at_least(name, (Scope::Host, ALL), value, (0, ASKED))
            .because("Caps the buffer size that a socket may request.")
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
        .because("Closed connections with unsent bytes; beyond this number they are reset.")
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
        .because("A connection whose memory was swapped out answers only after a disk read.")
        .fix(Fix::Words(
            "swapoff -a, or a control group without swap (memory.swap.max = 0)".to_owned(),
        )),
    );
    let huge = facts.huge_pages.as_deref();
    rows.push(
        Row::advised("transparent huge pages", (Scope::Host, ALL), huge, "madvise or never", huge.map(|mode| mode != "always"))
            .because("Small buffers are then rounded up to 2 MiB, so resident memory says little. towline opts out for its own memory.")
            .fix(Fix::Words("echo madvise > /sys/kernel/mm/transparent_hugepage/enabled".to_owned())),
    );
    rows
}

/// Largest automatic buffer sizes of sockets. The receive buffers of a server are of the sizes that it
/// sets, unless `socket.receive_buffer` is `kernel`, so the parameter does not matter to it.
fn buffer_sizes(facts: &Facts, target: &Target) -> [Row; 2] {
    let fixed = target.side == Side::Server
        && target.settings.socket.receive_buffer != ReceiveBuffer::Kernel;
    let many = target.connections >= MANY;
    let row = |name, bounded: bool, most, set, why: &str| {
        let largest = facts.sysctls.field(name, 2);
        let need = if bounded {
            format!("third at most {}", grouped(most))
        } else {
            "anything".to_owned()
        };
        let holds = largest.map(|largest| !bounded || largest <= most);
        Row::advised(name, (Scope::Namespace, ALL), facts.sysctls.text(name), need, holds)
            .because(why)
            .set_to(set)
    };
    let grows = format!(
        "The third value caps each socket's buffer (twice that with kernel overhead); with {} \
         sockets that can exhaust memory.",
        grouped(target.connections)
    );
    let receive = if fixed {
        "The server sets the receive buffer of its sockets itself (socket.receive_buffer), so the \
         kernel does not let them grow."
    } else {
        &grows
    };
    [
        row("net.ipv4.tcp_rmem", many && !fixed, RECEIVE_MOST, "4096 16384 1048576", receive),
        row("net.ipv4.tcp_wmem", many, SEND_MOST, "4096 16384 262144", &grows),
    ]
}

/// Pages that TCP should be able to use before it saves memory, and the value of tcp_mem that allows it.
fn tcp_pages(facts: &Facts, target: &Target) -> (u64, String) {
    let pages = (target.bytes_busy() * target.side.ends()).div_ceil(PAGE) * 3 / 2;
    let field =
        |place, least: u64| facts.sysctls.field("net.ipv4.tcp_mem", place).unwrap_or(0).max(least);
    let text =
        format!("{} {} {}", field(0, pages / 4 * 3), field(1, pages), field(2, pages / 2 * 3));
    (pages, text)
}
