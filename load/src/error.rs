//! Why a run could not be made: by whose fault, in one sentence.

/// What stopped a run before it had a result.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The request itself cannot be met as written; the sentence says what was expected.
    #[error("{0}")]
    Usage(String),
    /// The host or the target did not let the run happen.
    #[error("{0}")]
    Failed(String),
}

impl LoadError {
    /// A request that cannot be met as written (exit code 2).
    pub fn usage(sentence: impl Into<String>) -> Self {
        Self::Usage(sentence.into())
    }

    /// A run that could not be made (exit code 1).
    pub fn failed(sentence: impl Into<String>) -> Self {
        Self::Failed(sentence.into())
    }

    /// The exit code of the command: 2 for a wrong request, 1 for everything else.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}
