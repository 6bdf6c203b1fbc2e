use std::{fmt, io};

/// Why the server could not start or go on. `Display` is one sentence for a person.
#[derive(Debug)]
pub struct RunError {
    usage: bool,
    message: String,
}

impl RunError {
    /// A setting, or what the host allows, is at fault.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { usage: true, message: message.into() }
    }

    /// Something that should work did not.
    pub fn failed(what: &str, error: &io::Error) -> Self {
        Self { usage: false, message: format!("{what}: {error}") }
    }

    /// True when a setting or the host's limits are at fault (exit code 2), false when the run
    /// failed (exit code 1).
    pub fn is_usage(&self) -> bool {
        self.usage
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for RunError {}
