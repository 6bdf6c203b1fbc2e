//! Whether a run passed and, if it did not reach the connections asked for, which limit it met.

use towline_load::Report;

use super::Args;
use super::result::{Met, Outcome};
use crate::bench::sampler::Sample;
use crate::bench::server_counters::ServerCounters;

/// The observations of a run.
#[derive(Debug)]
pub(super) struct Observed<'a> {
    /// Why the server refused to start for the connections asked for.
    pub(super) refusal: Option<String>,
    pub(super) report: &'a Report,
    /// The last sample of the hold.
    pub(super) held: &'a Sample,
    pub(super) args: &'a Args,
}

/// Connections that both ends have: one that only waits in the accept queue is none.
pub(super) fn held(report: &Report, held: &Sample) -> u64 {
    let made = report.connections.established.saturating_sub(report.connections.closed_early);
    held.counters.map_or(made, |counters| made.min(counters.active as u64))
}

/// The outcome, a sentence for each requirement that was missed, and the limit that was met.
pub(super) fn assess(observed: &Observed<'_>) -> (Outcome, Vec<String>, Option<Met>) {
    let Observed { report, args, .. } = observed;
    let reached = held(report, observed.held);
    let mut against = Vec::new();
    if report.interrupted {
        against.push("the run was interrupted".to_owned());
    }
    let lost = report.verify.missing + report.verify.unanswered;
    let counts = [
        (report.connections.closed_early, "connections were closed by the server"),
        (lost, "lines were lost"),
        (report.verify.mismatched, "replies were wrong"),
        (report.verify.error_replies, "replies were error lines"),
        (counters(observed.held).heartbeats_missed as u64, "heartbeats were missed"),
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
        let wall = wall(observed);
        against.insert(0, format!("{reached} of {} connections were held", args.connections));
        return (Outcome::NotReached, against, Some(wall));
    }
    let outcome = if against.is_empty() { Outcome::Passed } else { Outcome::Failed };
    (outcome, against, None)
}

fn counters(sample: &Sample) -> ServerCounters {
    sample.counters.unwrap_or_default()
}

/// The limit that was met, by the best evidence there is.
fn wall(observed: &Observed<'_>) -> Met {
    if let Some(why) = &observed.refusal {
        let memory = why.contains("memory") && !why.contains("descriptor");
        let name = if memory { "memory" } else { "descriptors a process" };
        return Met { name, evidence: why.clone() };
    }
    let held = counters(observed.held);
    let accepts =
        [(held.enfile, "fs.file-max", "ENFILE"), (held.emfile, "descriptors a process", "EMFILE")];
    for (count, name, errno) in accepts {
        if count > 0.0 {
            return Met { name, evidence: format!("{count} accepts failed with {errno}") };
        }
    }
    // The generator's kinds of failed connects, and the names doctor has for their causes.
    let names = [
        ("no_port", "local ports"),
        ("no_descriptor", "descriptors a process"),
        ("no_address", "source addresses"),
        ("timeout", "accept queue"),
        ("refused", "the server"),
    ];
    let errors = &observed.report.connect_errors;
    let worst = errors.iter().max_by_key(|(_, count)| **count);
    if let Some((kind, count)) = worst {
        let name = names.iter().find(|(known, _)| known == kind).map_or("the kernel", |(_, n)| *n);
        return Met { name, evidence: format!("{count} connects failed: {kind}") };
    }
    let ended = observed.report.connections.closed_early;
    if ended > 0 {
        return Met { name: "the server", evidence: format!("it closed {ended} connections") };
    }
    let name = if observed.report.interrupted { "interrupted" } else { "the server" };
    Met { name, evidence: "connections were made but not all accepted".to_owned() }
}
