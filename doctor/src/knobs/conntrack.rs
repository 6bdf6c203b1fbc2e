//! Connection tracking, where the kernel does it.

use super::MANY;
use crate::{Facts, Row, Scope, Target, grouped, row::ALL};

/// One hour, in seconds: a connection that tracking forgets after longer silence is found by its heartbeat.
const ESTABLISHED_MOST: u64 = 3_600;

/// Rows of connection tracking; none where the kernel has no tracking.
pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let number = |name| facts.sysctls.number(name);
    let (max, count) =
        (number("net.netfilter.nf_conntrack_max"), number("net.netfilter.nf_conntrack_count"));
    if max.is_none() {
        return Vec::new();
    }
    let used = count.unwrap_or(0);
    let active = tracks(facts);
    // Without tracking the table limits nothing now, but rules added later may: a warning, no failure.
    let floor = if active { used + target.connections } else { 0 };
    let ample = used + 2 * target.connections;
    let row = Row::at_least(
        "net.netfilter.nf_conntrack_max",
        (Scope::Host, ALL),
        max,
        (floor, ample),
    )
    .showing(format!("{}, {} in use", grouped(max.unwrap_or(0)), grouped(used)))
    .because(if active {
        "Each connection takes an entry per hop; when the table is full, packets are dropped. Or exempt \
             the port (notrack)."
    } else {
        "Loaded, but nothing is tracked here now. With a rule that needs it (NAT, published container \
             ports), each connection takes an entry per hop, and packets are dropped when it is full."
    });
    let row = if active { row } else { quiet(row) };
    let name = "net.netfilter.nf_conntrack_tcp_timeout_established";
    let most = if active && target.connections >= MANY { ESTABLISHED_MOST } else { u64::MAX };
    let established = Row::at_most(name, (Scope::Namespace, ALL), facts, most)
        .because("Entries of peers that disappeared stay for five days by default.");
    let established = if most == u64::MAX { established.needing("anything") } else { established };
    vec![row.set_to(ample), established]
}

/// Whether connections of this network namespace are tracked now.
pub(crate) fn tracks(facts: &Facts) -> bool {
    facts.sysctls.number("net.netfilter.nf_conntrack_count").is_some_and(|count| count > 0)
}

/// Marks the row of an unused table as right, whatever its size.
fn quiet(mut row: Row) -> Row {
    row.verdict = crate::Verdict::Ok;
    row.needing("anything: nothing is tracked here")
}
