//! The verdict on a run: an exit code, and sentences.

use super::{Assertion, Report, TlsReport};
use crate::host;
use crate::plan::{Mode, Plan};

/// How a run ended, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunVerdict {
    /// Replies were wrong, error lines or missing (exit code 4).
    WrongReplies,
    /// An assertion was missed (exit code 3).
    AssertionMissed,
    /// Connections failed, or the server ended them, so the load was not as requested (exit code 1).
    ConnectionsFailed,
    /// The run went as requested (exit code 0).
    Clean,
}

impl RunVerdict {
    /// The exit code of the command.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::WrongReplies => 4,
            Self::AssertionMissed => 3,
            Self::ConnectionsFailed => 1,
            Self::Clean => 0,
        }
    }
}

impl Report {
    /// Returns the verdict, the worst that applies, and a sentence for each reason against the run.
    pub fn verdict(&self, assertions: &[Assertion]) -> (RunVerdict, Vec<String>) {
        let mut sentences = Vec::new();
        let mut verdict = RunVerdict::Clean;
        if self.connections.failed > 0 || self.connections.closed_early > 0 {
            verdict = RunVerdict::ConnectionsFailed;
            sentences.extend(self.connection_failures());
        }
        let missed: Vec<String> = assertions.iter().filter_map(|a| a.missed_by(self)).collect();
        if !missed.is_empty() {
            verdict = RunVerdict::AssertionMissed;
            sentences.extend(missed);
        }
        let v = &self.verify;
        if v.failures() > 0 {
            verdict = RunVerdict::WrongReplies;
            sentences.push(self.wrong_replies());
        }
        (verdict, sentences)
    }

    fn wrong_replies(&self) -> String {
        let v = &self.verify;
        if let Some(fanout) = &self.fanout {
            return format!(
                "verification failed: of {} messages received {} were wrong ({} corrupted, {} foreign, {} \
                 duplicated, {} reordered), {} did not arrive, and the server sent {} errors",
                v.checked,
                v.mismatched,
                v.corrupted,
                fanout.foreign,
                v.duplicated,
                v.reordered,
                v.missing,
                v.error_replies
            );
        }
        format!(
            "verification failed: of {} replies checked {} were wrong ({} corrupted, {} duplicated, \
                 {} reordered) and {} were error lines, and {} lines had no reply",
            v.checked,
            v.mismatched,
            v.corrupted,
            v.duplicated,
            v.reordered,
            v.error_replies,
            v.missing
        )
    }

    /// A sentence for every kind of failed connects, and one for the connections that the server ended.
    pub(super) fn connection_failures(&self) -> Vec<String> {
        let (made, asked) = (self.connections.established, self.connections.requested);
        let mut failures = Vec::new();
        for (kind, count) in &self.connect_errors {
            let cause = match kind.as_str() {
                "refused" => format!("{} refused", self.target),
                "timeout" => {
                    format!("{} did not answer in time (is its accept queue full?)", self.target)
                }
                "no_port" => format!(
                    "this host has no local port left for them ({} per source address): \
                     give more addresses with --sources",
                    host::local_ports()
                ),
                "no_address" => {
                    "this host does not have the address that --sources names".to_owned()
                }
                "tls_handshake" => {
                    let errors = self.tls.as_ref().map(TlsReport::errors_text);
                    format!("the TLS handshake failed: {}", errors.unwrap_or_default())
                }
                "tls_timeout" => format!(
                    "{} did not finish the TLS handshake in time (does it speak TLS?)",
                    self.target
                ),
                "not_subscribed" => format!("{} did not confirm what they sent first", self.target),
                "no_descriptor" => format!(
                    "a process has only {} descriptors: use --processes auto, or raise ulimit -n",
                    host::descriptor_limit()
                ),
                _ => "the network or the host could not make them".to_owned(),
            };
            failures.push(format!(
                "{count} of {asked} connections were not made ({made} were): {cause}"
            ));
        }
        if self.connections.closed_early > 0 {
            failures.push(format!(
                "the server ended {} connections during the run ({} closed, {} reset)",
                self.connections.closed_early, self.errors.closed, self.errors.reset
            ));
            failures.extend(self.tls_ends());
        }
        failures
    }

    /// A sentence about the ends of sessions that TLS knows more about.
    fn tls_ends(&self) -> Option<String> {
        let tls = self.tls.as_ref()?;
        let handshakes = self.connect_errors.contains_key("tls_handshake");
        let mut parts = Vec::new();
        if tls.ends.no_close_notify > 0 {
            parts.push(format!("{} ended without a close_notify", tls.ends.no_close_notify));
        }
        if !handshakes && !tls.errors.is_empty() {
            parts.push(tls.errors_text());
        }
        (!parts.is_empty()).then(|| format!("of TLS: {}", parts.join("; ")))
    }

    /// Describes how the generator was the bottleneck.
    fn saturation(&self) -> String {
        let share = |name| 100.0 * self.generator.busiest.get(name).copied().unwrap_or(0.0);
        let (awake, cpu, queued) = (share("awake"), share("cpu"), share("waiting_for_cpu"));
        let what = if queued > cpu {
            "the generator was short of CPU, so the figures show this host's limit and not the target's"
        } else {
            "the generator was the bottleneck"
        };
        format!(
            "{what}: its busiest thread was awake {awake:.0} % of the time, on a CPU {cpu:.0} %, waiting \
             for one {queued:.0} %: give it cores of its own, or more --threads where cores are idle"
        )
    }

    /// Adds remarks that the figures alone do not show.
    pub(super) fn add_notes(&mut self, plan: &Plan) {
        self.notes.extend(self.connection_failures());
        if self.generator.saturated {
            self.notes.push(self.saturation());
        }
        self.notes.extend(plan.warnings());
        if plan.mode == Mode::Flood && self.lines.sent > 0 && self.lines.received == 0 {
            self.notes.push(
                "the target sent no reply: --in-flight off also floods a target that never replies"
                    .to_owned(),
            );
        }
        if self.interrupted {
            self.notes
                .push("the run was interrupted: the figures cover the time until then".to_owned());
        }
    }
}
