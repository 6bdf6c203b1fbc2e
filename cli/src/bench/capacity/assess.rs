//! What a run means: whether it passed, and what ended the growth if it did not get there.

use towline_load::Report;

use super::Args;
use super::result::{Met, Verdict};
use super::sampler::Sample;

/// All that is judged.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// Why the server did not start for as many as were asked for.
    pub(super) refusal: Option<String>,
    pub(super) report: &'a Report,
    /// At the end of the hold.
    pub(super) held: &'a Sample,
    pub(super) args: &'a Args,
}

/// Connections that both ends had: one that only waits in a queue is none.
pub(super) fn held(report: &Report, held: &Sample) -> u64 {
    let made = report.connections.established.saturating_sub(report.connections.closed_early);
    held.active.map_or(made, |active| made.min(active as u64))
}

/// The verdict, a sentence for everything against it, and the wall that was met.
pub(super) fn judge(evidence: &Evidence<'_>) -> (Verdict, Vec<String>, Option<Met>) {
    let Evidence { report, args, .. } = evidence;
    let reached = held(report, evidence.held);
    let mut against = Vec::new();
    if report.interrupted {
        against.push("the run was interrupted".to_owned());
    }
    let lost = report.verify.missing + report.verify.unanswered;
    let counts = [
        (report.connections.closed_early, "connections were ended by the server"),
        (lost, "lines were lost"),
        (report.verify.mismatched, "answers were wrong"),
        (evidence.held.heartbeats_missed as u64, "heartbeats were missed"),
    ];
    against
        .extend(counts.into_iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")));
    let latency = &report.after_ramp.latency_us;
    if u128::from(latency.p99) > args.p99.as_micros() {
        against.push(format!(
            "the 99th percentile was {:.3} s: expected at most {:.3} s",
            latency.p99 as f64 / 1e6,
            args.p99.as_secs_f64()
        ));
    }
    if latency.count == 0 {
        against.push("no line was answered".to_owned());
    }
    if reached < args.connections.into() {
        let wall = wall(evidence);
        against.insert(0, format!("{reached} of {} connections were held", args.connections));
        return (Verdict::NotReached, against, Some(wall));
    }
    let verdict = if against.is_empty() { Verdict::Passed } else { Verdict::Failed };
    (verdict, against, None)
}

/// What ended the growth, by the best evidence there is.
fn wall(evidence: &Evidence<'_>) -> Met {
    if let Some(why) = &evidence.refusal {
        let memory = why.contains("memory") && !why.contains("descriptor");
        let name = if memory { "memory" } else { "descriptors a process" };
        return Met { name, evidence: why.clone() };
    }
    let held = evidence.held;
    let accepts =
        [(held.enfile, "fs.file-max", "ENFILE"), (held.emfile, "descriptors a process", "EMFILE")];
    for (count, name, errno) in accepts {
        if count > 0.0 {
            return Met { name, evidence: format!("{count} accepts failed with {errno}") };
        }
    }
    // By doctor's names for what the generator calls the errors of its connects.
    let names = [
        ("no_port", "local ports"),
        ("no_descriptor", "descriptors a process"),
        ("no_address", "source addresses"),
        ("timeout", "accept queue"),
        ("refused", "the server"),
    ];
    let errors = &evidence.report.connect_errors;
    let worst = errors.iter().max_by_key(|(_, count)| **count);
    if let Some((kind, count)) = worst {
        let name = names.iter().find(|(known, _)| known == kind).map_or("the kernel", |(_, n)| *n);
        return Met { name, evidence: format!("{count} connects failed: {kind}") };
    }
    let ended = evidence.report.connections.closed_early;
    if ended > 0 {
        return Met { name: "the server", evidence: format!("it ended {ended} connections") };
    }
    let name = if evidence.report.interrupted { "interrupted" } else { "the server" };
    Met { name, evidence: "connections were made but not all accepted".to_owned() }
}
