use std::{fmt, io};

/// Why the server could not start or go on.
///
/// `Display` is one sentence, and `Debug` the same one, so that a `main` that returns
/// `Result<(), RunError>` prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct RunError {
    usage: bool,
    message: String,
}

impl RunError {
    /// A setting, or what the host allows, is at fault.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { usage: true, message: message.into() }
    }

    /// An operation of the system failed.
    pub fn failed(what: &str, error: &io::Error) -> Self {
        Self { usage: false, message: format!("{what}: {error}") }
    }

    /// Whether a setting, a call or a limit of the host is at fault (exit code 2), and not the run
    /// (exit code 1).
    pub const fn is_usage(&self) -> bool {
        self.usage
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {}

/// For a function that returns [`io::Result`]. The sentence stays.
impl From<RunError> for io::Error {
    fn from(error: RunError) -> Self {
        let kind = if error.usage { io::ErrorKind::InvalidInput } else { io::ErrorKind::Other };
        Self::new(kind, error)
    }
}
