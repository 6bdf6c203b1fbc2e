//! Why a command was not executed.

use crate::RunError;

/// What kept a command from being executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// What it asks for is wrong.
    Invalid,
    /// It is not possible now.
    Conflict,
    /// It failed.
    Failed,
}

/// Why a command was not executed, in one sentence.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kind: Refusal,
    pub(crate) sentence: String,
}

impl Refused {
    pub(crate) fn invalid(sentence: impl Into<String>) -> Self {
        Self { kind: Refusal::Invalid, sentence: sentence.into() }
    }

    pub(crate) fn now_is_no_time(sentence: impl Into<String>) -> Self {
        Self { kind: Refusal::Conflict, sentence: sentence.into() }
    }

    pub(crate) fn failed(sentence: impl Into<String>) -> Self {
        Self { kind: Refusal::Failed, sentence: sentence.into() }
    }
}

impl From<RunError> for Refused {
    fn from(error: RunError) -> Self {
        let sentence = error.to_string();
        if error.is_usage() { Self::invalid(sentence) } else { Self::failed(sentence) }
    }
}
