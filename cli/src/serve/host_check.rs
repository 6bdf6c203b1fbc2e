//! The doctor's failing rows, in the log of a server that starts.

use std::thread;

use towline_config::Settings;
use towline_doctor::{Facts, ProcessCount, Side, Target, Verdict, rows};

/// Checks the host on a thread of its own and logs one line per failing row, while the server serves.
/// `connections` is the limit of all processes together.
pub(crate) fn warn_in_background(settings: Settings, connections: u64, processes: u64) {
    let check = move || {
        let facts = Facts::read();
        let mut target = Target::new(connections, Side::Server, settings);
        target.processes = ProcessCount::Exactly(processes);
        for row in rows(&facts, &target).iter().filter(|row| row.verdict == Verdict::Fail) {
            tracing::warn!(
                knob = row.name,
                value = row.value.as_deref().unwrap_or("unknown"),
                need = row.need,
                fix = row.fix_here(&facts).unwrap_or_default(),
                "this host may not hold {connections} connections: {}",
                row.why
            );
        }
    };
    // Advice is no reason to fail.
    if let Err(error) = thread::Builder::new().name("doctor".into()).spawn(check) {
        tracing::debug!(%error, "the host was not checked");
    }
}
