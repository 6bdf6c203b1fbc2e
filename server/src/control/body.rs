//! The arguments of a command.

use serde::de::DeserializeOwned;

use super::Refused;

/// Reads the arguments of a command from its body. No body is the same as `{}`.
///
/// # Errors
/// When it is not a JSON object, lacks a field, or has an unknown one or one of another type.
pub(super) fn read<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Refused> {
    let body = if body.trim_ascii().is_empty() { b"{}" } else { body };
    // An array would be taken as the fields in order.
    if !body.trim_ascii_start().starts_with(b"{") {
        return Err(Refused::invalid(format!("expected a JSON object, such as {example}")));
    }
    serde_json::from_slice(body).map_err(|error| {
        // Without the control characters that a name in the body may have.
        let error: String = error.to_string().chars().map(printable).take(CHARS_MAX).collect();
        Refused::invalid(format!("{error}: expected a JSON object such as {example}"))
    })
}

/// Most characters of the parser's error that are shown; it quotes the body.
const CHARS_MAX: usize = 200;

fn printable(c: char) -> char {
    if c.is_control() { '\u{fffd}' } else { c }
}
