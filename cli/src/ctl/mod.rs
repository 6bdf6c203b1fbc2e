//! `towline ctl`: commands to a running server.

mod ask;
mod command;
mod kill;
mod profile;
mod set;
mod stats;
mod target;

use std::process::ExitCode;

use serde_json::{Value, json};

use self::{command::Command, target::Target};
use crate::{exit, help};

/// Change a running server: close connections, drain, set settings.
#[derive(Debug, clap::Args)]
#[command(after_help = help::CTL)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Print the server's answer as it is, one JSON object
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// Why a command did not succeed: an exit code and one sentence.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    sentence: String,
}

impl Failure {
    /// The command line is wrong.
    fn usage(sentence: impl Into<String>) -> Self {
        Self { code: exit::USAGE, sentence: sentence.into() }
    }

    /// The server is not there, or refused or failed.
    fn failed(sentence: impl Into<String>) -> Self {
        Self { code: exit::FAILED, sentence: sentence.into() }
    }
}

pub(crate) fn run(args: &Args) -> ExitCode {
    match execute(args) {
        Ok(printed) => exit::printing(&printed),
        Err(Failure { code, sentence }) => exit::with(code, sentence),
    }
}

/// Sends the command. Returns what is printed.
fn execute(args: &Args) -> Result<String, Failure> {
    let server = args.target.server()?;
    let (answer, text) = match &args.command {
        Command::Kill(kill) => return kill::run(&server, kill, args.json),
        Command::Profile(profile) => return profile::run(&server, profile, args.json),
        Command::Drain(drain) => {
            let answer = server.command("drain", &drain.body())?;
            let text = drain.said(number(&answer, "connections"));
            (answer, text)
        }
        Command::Set { settings } => {
            let answer = server.command("set", &set::body(settings)?)?;
            let text = set::said(&answer);
            (answer, text)
        }
        Command::Log { level } => {
            let level = if level == "-" { Value::Null } else { level.as_str().into() };
            let answer = server.command("log", &json!({ "level": level }))?;
            let text = set::said(&answer);
            (answer, text)
        }
        Command::Reload => {
            let answer = server.command("reload", &json!({}))?;
            let text = set::reloaded(&answer);
            (answer, text)
        }
        Command::Stats => {
            let answer = server.get("/ctl/stats")?;
            let text = stats::said(&answer);
            (answer, text)
        }
    };
    Ok(if args.json { format!("{answer}\n") } else { text })
}

/// A number of an answer; 0 if it is not there.
fn number(answer: &Value, name: &str) -> u64 {
    answer.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// `1 connection`, `2 connections`.
fn connections(count: u64) -> String {
    if count == 1 { "1 connection".to_owned() } else { format!("{count} connections") }
}
