//! Why a run could not be made, in one sentence.

/// An error that left the run without a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The request cannot be met as written; the sentence says what was expected.
    #[error("{0}")]
    Usage(String),
    /// The host or the target prevented the run.
    #[error("{0}")]
    Failed(String),
}

impl LoadError {
    /// Makes a [`Usage`](Self::Usage) error (exit code 2).
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    /// Makes a [`Failed`](Self::Failed) error (exit code 1).
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    /// The exit code of the command: 2 for [`Usage`](Self::Usage), 1 for [`Failed`](Self::Failed).
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}
