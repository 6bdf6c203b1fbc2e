//! Connection tracking, where the kernel does it.

use super::MANY;
use crate::{Facts, Row, Scope, Target, grouped, row::ALL};

/// An hour: a connection that was silent for longer and is forgotten is found by its heartbeat.
const ESTABLISHED_MOST: u64 = 3_600;

/// No rows where the kernel has no tracking at all.
pub(super) fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let number = |name| facts.sysctls.number(name);
    let (max, count) =
        (number("net.netfilter.nf_conntrack_max"), number("net.netfilter.nf_conntrack_count"));
    if max.is_none() {
        return Vec::new();
    }
    let used = count.unwrap_or(0);
    let active = tracks(facts);
    // Nothing is tracked here now, which rules added later may change: advice, and no wall.
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
        "An entry a connection and hop; when the table is full, packets vanish. Or exempt the port \
             (notrack)."
    } else {
        "Loaded, but nothing is tracked here now; with a rule that asks for it (NAT, published \
             container ports) an entry a connection and hop, and packets vanish when it is full."
    });
    let row = if active { row } else { quiet(row) };
    let name = "net.netfilter.nf_conntrack_tcp_timeout_established";
    let most = if active && target.connections >= MANY { ESTABLISHED_MOST } else { u64::MAX };
    let established = Row::at_most(name, (Scope::Namespace, ALL), facts, most)
        .because("Entries of peers that vanished stay for five days by default.");
    let established = if most == u64::MAX { established.needing("anything") } else { established };
    vec![row.set_to(ample), established]
}

/// Whether connections of this network namespace are tracked now.
pub(crate) fn tracks(facts: &Facts) -> bool {
    facts.sysctls.number("net.netfilter.nf_conntrack_count").is_some_and(|count| count > 0)
}

/// A table that nothing fills is in order, whatever its size.
fn quiet(mut row: Row) -> Row {
    row.verdict = crate::Verdict::Ok;
    row.needing("anything: nothing is tracked here")
}
