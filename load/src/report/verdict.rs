//! What the run means for the one who asked: sentences, and an exit code.

use super::{Assertion, Report};
use crate::host;
use crate::message::Message;
use crate::plan::{Mode, Plan};

/// How a run ended, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunVerdict {
    /// Replies were wrong or missing (exit code 4).
    WrongReplies,
    /// An assertion was missed (exit code 3).
    AssertionMissed,
    /// The load asked for did not take place: connections failed or were ended (exit code 1).
    ConnectionsFailed,
    /// All went as asked (exit code 0).
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
    /// Judges the run; returns the verdict and a sentence for everything against it.
    pub fn verdict(&self, assertions: &[Assertion]) -> (RunVerdict, Vec<String>) {
        let mut sentences = Vec::new();
        let mut verdict = RunVerdict::Clean;
        if self.connections.failed > 0 || self.connections.closed_early > 0 {
            verdict = RunVerdict::ConnectionsFailed;
            sentences.extend(self.connection_faults());
        }
        let missed: Vec<String> = assertions.iter().filter_map(|a| a.missed_by(self)).collect();
        if !missed.is_empty() {
            verdict = RunVerdict::AssertionMissed;
            sentences.extend(missed);
        }
        if self.verify.mismatched + self.verify.missing > 0 {
            verdict = RunVerdict::WrongReplies;
            sentences.push(format!(
                "verification failed: of {} replies checked {} were wrong ({} corrupted, {} duplicated, \
                 {} reordered), and {} lines had no reply",
                self.verify.checked,
                self.verify.mismatched,
                self.verify.corrupted,
                self.verify.duplicated,
                self.verify.reordered,
                self.verify.missing
            ));
        }
        (verdict, sentences)
    }

    /// A sentence for every way in which connections were not made or did not last.
    pub(super) fn connection_faults(&self) -> Vec<String> {
        let (made, asked) = (self.connections.established, self.connections.requested);
        let mut faults = Vec::new();
        for (kind, count) in &self.connect_errors {
            let cause = match kind.as_str() {
                "refused" => format!("{} refused", self.target),
                "timeout" => {
                    format!("{} did not answer in time (is its accept queue full?)", self.target)
                }
                "no_port" => format!(
                    "this host has no local port left for them ({} a source address): \
                     give more addresses with --sources",
                    host::local_ports()
                ),
                "no_address" => {
                    "this host does not have the address that --sources names".to_owned()
                }
                "no_descriptor" => format!(
                    "a process has only {} descriptors: use --processes auto, or raise ulimit -n",
                    host::descriptor_limit()
                ),
                _ => "the network or the host could not make them".to_owned(),
            };
            faults.push(format!(
                "{count} of {asked} connections were not made ({made} were): {cause}"
            ));
        }
        if self.connections.closed_early > 0 {
            faults.push(format!(
                "the server ended {} connections during the run ({} closed, {} reset)",
                self.connections.closed_early, self.errors.closed, self.errors.reset
            ));
        }
        faults
    }

    /// Why the generator is said to have been the bottleneck.
    fn saturation(&self) -> String {
        let share = |name| 100.0 * self.generator.busiest.get(name).copied().unwrap_or(0.0);
        let (awake, cpu, queued) = (share("awake"), share("cpu"), share("waiting_for_cpu"));
        let what = if queued > cpu {
            "the generator was short of CPU, so the figures are of this host and not of the target"
        } else {
            "the generator was the bottleneck"
        };
        format!(
            "{what}: its busiest thread was awake {awake:.0} % of the time, on a CPU {cpu:.0} %, waiting \
             for one {queued:.0} %: give it cores of its own, or more --threads where cores are idle"
        )
    }

    /// Says in sentences what the figures alone would leave to be guessed.
    pub(super) fn add_notes(&mut self, plan: &Plan) {
        self.notes.extend(self.connection_faults());
        if self.generator.saturated {
            self.notes.push(self.saturation());
        }
        let ends = Message::parse(&plan.message).is_ok_and(|m| m.ends_in_newline());
        if !ends && plan.mode == Mode::Flood {
            self.notes.push(
                "the message has no newline at its end: a line server will never answer it"
                    .to_owned(),
            );
        }
        if plan.mode == Mode::Flood && self.lines.sent > 0 && self.lines.received == 0 {
            self.notes.push(
                "the target replied to nothing: --in-flight off floods one that never replies"
                    .to_owned(),
            );
        }
        if self.interrupted {
            self.notes
                .push("the run was interrupted: the figures are of what took place".to_owned());
        }
    }
}
