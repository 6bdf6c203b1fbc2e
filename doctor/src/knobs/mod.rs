//! The rows: every parameter that matters, one file per group. The needed value is computed from the
//! target.

mod conntrack;
mod host;
mod memory;
mod ports;
mod process;
mod settings;
mod sockets;
mod tls;

pub(super) use conntrack::tracks;

use super::{Facts, Row, Target};

/// Connections from which small costs add up, so that more advice applies.
const MANY: u64 = 10_000;
/// Connections per second from which half-open and half-closed connections pile up.
const RUSH: u64 = 10_000;

/// Returns a row for each parameter that matters to the target's side, judged for the target, in the
/// order of the groups.
pub fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let groups = [
        process::rows(facts, target),
        settings::rows(facts, target),
        sockets::rows(facts, target),
        memory::rows(facts, target),
        ports::rows(facts, target),
        conntrack::rows(facts, target),
        tls::rows(facts, target),
        host::rows(facts, target),
    ];
    groups.into_iter().flatten().filter(|row| row.matters_to(target.side)).collect()
}
