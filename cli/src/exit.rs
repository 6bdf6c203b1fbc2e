//! Exit codes, and errors as one sentence each on standard error.

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

/// Success.
pub(crate) const CLEAN: u8 = 0;
/// The run failed, or a drain cut connections.
pub(crate) const FAILED: u8 = 1;
/// A wrong flag or setting, or more than the host allows; nothing was started.
pub(crate) const USAGE: u8 = 2;
/// A target was missed.
pub(crate) const MISSED: u8 = 3;

/// Prints `sentence` on standard error and returns `code`.
pub(crate) fn with(code: u8, sentence: impl Display) -> ExitCode {
    // If standard error is closed, the exit code still says it.
    let _ = writeln!(io::stderr(), "towline: {sentence}");
    ExitCode::from(code)
}

/// Prints a warning on standard error, for commands that have no log.
pub(crate) fn warn(sentence: impl Display) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(io::stderr(), "towline: warning: {sentence}");
}

/// Prints every mistake in the configuration on a line of its own.
pub(crate) fn with_configuration(errors: &towline_config::Errors) -> ExitCode {
    for error in errors {
        with(USAGE, error);
    }
    ExitCode::from(USAGE)
}

/// Writes `text` to standard output. A broken pipe is no failure: the reader has what it wanted, as in
/// `towline config | head`.
pub(crate) fn printing(text: &str) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::from(CLEAN),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(CLEAN),
        Err(error) => with(FAILED, format_args!("cannot write to standard output: {error}")),
    }
}
