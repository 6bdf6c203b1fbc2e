//! What clap has to say about a command line, as one sentence; help and version as they are.

use std::process::ExitCode;

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::exit;

/// Prints help or version on standard output, anything else as one sentence on standard error.
pub(crate) fn tell(error: &Error) -> ExitCode {
    if error.use_stderr() {
        return exit::with(exit::USAGE, sentence(error));
    }
    // Clap colours the text when it goes to a terminal. A reader that left early is no failure.
    let _ = error.print();
    ExitCode::from(exit::CLEAN)
}

fn sentence(error: &Error) -> String {
    let about = |kind| error.get(kind).map(shown);
    let flag = about(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let what = if flag.starts_with('-') { "flag" } else { "argument" };
            match about(ContextKind::SuggestedArg) {
                Some(nearest) => format!("unknown {what} {flag}: did you mean {nearest}?"),
                None => format!("unknown {what} {flag}: `towline help` tells what there is"),
            }
        }
        ErrorKind::InvalidSubcommand => {
            let command = about(ContextKind::InvalidSubcommand).unwrap_or_default();
            match about(ContextKind::SuggestedSubcommand) {
                Some(nearest) => format!("unknown command {command}: did you mean {nearest}?"),
                None => format!("unknown command {command}: `towline help` tells what there is"),
            }
        }
        ErrorKind::ArgumentConflict if about(ContextKind::InvalidSubcommand).is_some() => {
            let command = about(ContextKind::InvalidSubcommand).unwrap_or_default();
            format!("flags of {command} stand after it: `towline {command} --flag …`")
        }
        ErrorKind::ArgumentConflict if about(ContextKind::PriorArg) == Some(flag.clone()) => {
            format!("{flag} is given twice: give it once")
        }
        ErrorKind::InvalidValue
            if about(ContextKind::InvalidValue).is_none_or(|it| it.is_empty()) =>
        {
            format!("{flag} has no value: give it one")
        }
        _ => first_paragraph(error),
    }
}

/// Names are bare in the context, but the suggestions come as lists.
fn shown(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(words) => words.join(" or "),
        other => other.to_string(),
    }
}

/// Clap's own words, without "error:", usage and hints.
fn first_paragraph(error: &Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}
