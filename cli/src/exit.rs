//! How a command ends: exit codes, and errors as one sentence each on standard error.

use std::{
    fmt::Display,
    io::{self, Write as _},
    process::ExitCode,
};

/// All went as asked.
pub(crate) const CLEAN: u8 = 0;
/// The run failed, or a drain had to cut connections.
pub(crate) const FAILED: u8 = 1;
/// A flag, a setting or a limit of the host is at fault; nothing was started.
pub(crate) const USAGE: u8 = 2;
/// A target was missed.
pub(crate) const MISSED: u8 = 3;

/// Tells `sentence` on standard error and ends with `code`.
pub(crate) fn with(code: u8, sentence: impl Display) -> ExitCode {
    // When standard error is closed there is nobody left to tell; the code still says it.
    let _ = writeln!(io::stderr(), "towline: {sentence}");
    ExitCode::from(code)
}

/// Prints a warning on standard error, for commands that have no log.
pub(crate) fn warn(sentence: impl Display) {
    // As in `with`: nothing can be done when standard error is closed.
    let _ = writeln!(io::stderr(), "towline: warning: {sentence}");
}

/// Tells every mistake in the configuration on a line of its own.
pub(crate) fn with_configuration(errors: &towline_config::Errors) -> ExitCode {
    for error in errors {
        with(USAGE, error);
    }
    ExitCode::from(USAGE)
}

/// Writes `text` to standard output. A reader that left early (`towline config | head`) wanted no
/// more, so a broken pipe is no failure.
pub(crate) fn printing(text: &str) -> ExitCode {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => ExitCode::from(CLEAN),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(CLEAN),
        Err(error) => with(FAILED, format_args!("cannot write to standard output: {error}")),
    }
}
