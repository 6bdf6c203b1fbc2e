//! Asking back on the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// Whether there is a terminal to ask on.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Longest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024;

/// Asks a question, on standard error so that standard output has the answer of the server alone. Only `y` and
/// `yes` are consent.
pub(super) fn consents(question: &str) -> bool {
    let mut output = io::stderr().lock();
    let asked = write!(output, "{question} [y/N] ").and_then(|()| output.flush());
    let mut answer = String::new();
    let input = io::stdin().lock();
    let read = io::Read::take(input, ANSWER_BYTES_MAX).read_line(&mut answer);
    asked.is_ok() && read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes" | "Yes")
}
