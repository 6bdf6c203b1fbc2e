//! The table: every knob that has a say, a file a group. A need is a function of the target.

mod conntrack;
mod host;
mod memory;
mod ports;
mod process;
mod settings;
mod sockets;

pub(super) use conntrack::tracks;

use super::{Facts, Row, Target};

/// From here on small things add up: advice that is idle below is given.
const MANY: u64 = 10_000;
/// A burst from which half-open and half-closed connections pile up.
const RUSH: u64 = 10_000;

/// All knobs that matter to the target's side, judged for it; worst first within their groups is
/// for the reader to sort.
pub fn rows(facts: &Facts, target: &Target) -> Vec<Row> {
    let groups = [
        process::rows(facts, target),
        settings::rows(facts, target),
        sockets::rows(facts, target),
        memory::rows(facts, target),
        ports::rows(facts, target),
        conntrack::rows(facts, target),
        host::rows(facts, target),
    ];
    groups.into_iter().flatten().filter(|row| row.matters_to(target.side)).collect()
}
