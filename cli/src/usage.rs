//! The errors that clap finds in a command line, as one sentence each; help and version as they are.

use std::process::ExitCode;

use clap::{
    Error,
    error::{ContextKind, ContextValue, ErrorKind},
};
use towline_config::Key;

use crate::exit;

/// Flags that other programs have, and the flag of `serve` that means the same.
const FLAG_SYNONYMS: [(&str, &str); 6] = [
    ("-p", "--listen"),
    ("-l", "--listen"),
    ("-f", "--config"),
    ("--file", "--config"),
    ("-v", "--log-level"),
    ("--verbose", "--log-level"),
];

/// Commands that other programs have, and what does the same here.
const COMMAND_SYNONYMS: [(&str, &str); 6] = [
    ("version", "--version"),
    ("run", "serve"),
    ("start", "serve"),
    ("status", "health"),
    ("check", "config --check"),
    ("validate", "config --check"),
];

/// Prints help or version on standard output, an error as one sentence on standard error.
pub(crate) fn report(error: &Error) -> ExitCode {
    if error.use_stderr() {
        return exit::with(exit::USAGE, sentence(error, &command()));
    }
    // Clap colours the text on a terminal. It is no failure if the reader has gone.
    let _ = error.print();
    ExitCode::from(exit::CLEAN)
}

/// The command of this process's arguments: the first one, unless it is a flag.
fn command() -> String {
    let first = std::env::args().nth(1).unwrap_or_default();
    if first.starts_with('-') || first.is_empty() { "serve".to_owned() } else { first }
}

fn sentence(error: &Error, command: &str) -> String {
    let about = |kind| error.get(kind).map(shown);
    let flag = about(ContextKind::InvalidArg).unwrap_or_default();
    match error.kind() {
        ErrorKind::UnknownArgument if flag.starts_with('-') => {
            match flag_meant(&flag, command).or_else(|| about(ContextKind::SuggestedArg)) {
                Some(meant) => format!("unknown flag {flag}: did you mean {meant}?"),
                None => format!("unknown flag {flag}: `towline help {command}` lists the flags"),
            }
        }
        ErrorKind::UnknownArgument => {
            format!("unknown argument {flag}: `towline help {command}` lists what it accepts")
        }
        ErrorKind::InvalidSubcommand => {
            let name = about(ContextKind::InvalidSubcommand).unwrap_or_default();
            let synonym = COMMAND_SYNONYMS.iter().find(|(synonym, _)| *synonym == name);
            match synonym.map(|(_, meant)| format!("`towline {meant}`")) {
                Some(meant) => format!("unknown command {name}: did you mean {meant}?"),
                None => match about(ContextKind::SuggestedSubcommand) {
                    Some(nearest) => format!("unknown command {name}: did you mean {nearest}?"),
                    None => format!("unknown command {name}: `towline help` lists the commands"),
                },
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
            let name = flag.split(' ').next().unwrap_or_default();
            match Key::all().iter().find(|key| key.flag == Some(name)) {
                Some(key) => format!("{name} has no value: expected {}", key.expected()),
                None => format!("{name} has no value: write {flag}"),
            }
        }
        _ => first_paragraph(error),
    }
}

/// The flag of a setting that `flag` resembles or is a synonym of, for commands that take settings.
fn flag_meant(flag: &str, command: &str) -> Option<String> {
    if !["serve", "config"].contains(&command) {
        return None;
    }
    if let Some((_, meant)) = FLAG_SYNONYMS.iter().find(|(synonym, _)| *synonym == flag) {
        return Some((*meant).to_owned());
    }
    Key::like(flag.trim_start_matches('-')).and_then(|key| key.flag).map(str::to_owned)
}

/// A value of an error's context as text. A list becomes alternatives.
fn shown(value: &ContextValue) -> String {
    match value {
        ContextValue::Strings(words) => words.join(" or "),
        other => other.to_string(),
    }
}

/// Clap's own sentence, without "error:", usage and hints.
fn first_paragraph(error: &Error) -> String {
    let text = error.render().to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}
