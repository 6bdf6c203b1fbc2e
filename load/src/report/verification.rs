//! What verification found.

use serde::{Deserialize, Serialize};

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// Replies compared with what was expected, `ERR …` lines included.
    pub checked: u64,
    /// Replies other than the expected ones: corrupted, duplicated or reordered.
    pub mismatched: u64,
    /// `ERR …` lines in place of replies; not part of `mismatched`. A refusal of the connection (`ERR too
    /// many connections`) is none.
    #[serde(default)]
    pub error_replies: u64,
    /// Lines without a reply: a later line has one, the reply timeout passed, or the drain ended.
    pub missing: u64,
    /// Mismatched replies that match no expected line.
    pub corrupted: u64,
    /// Mismatched replies received more often than their line was sent.
    pub duplicated: u64,
    /// Mismatched replies received after the reply to a later line.
    pub reordered: u64,
    /// Lines without a reply that are not counted as missing: those whose connection the server ended
    /// during the run (whether it had received them is unknown); those in flight at the end if replies
    /// were not waited for (a drain of 0, a flood without `--verify`); all of them without `--verify`.
    pub unanswered: u64,
    /// Descriptions of the first mismatches.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<String>,
}

impl Verification {
    /// Findings that fail the verification: replies that were wrong, error lines or missing.
    pub fn failures(&self) -> u64 {
        self.mismatched + self.error_replies + self.missing
    }
}

impl Verification {
    /// Adds the findings of another host.
    pub(super) fn add(&mut self, other: &Self) {
        self.checked += other.checked;
        self.mismatched += other.mismatched;
        self.error_replies += other.error_replies;
        self.missing += other.missing;
        self.corrupted += other.corrupted;
        self.duplicated += other.duplicated;
        self.reordered += other.reordered;
        self.unanswered += other.unanswered;
        self.examples.extend(other.examples.iter().cloned());
    }
}
