//! `towline man` and `towline completions`: manual pages and completion scripts for packages, made of
//! the tables that the program itself works with.

mod command_page;
mod completions;
mod extra;
mod markdown;
mod settings_page;
mod tidy;
mod title;

use std::{fs, path::PathBuf, process::ExitCode};

use clap::{Command, builder::TypedValueParser as _};
use clap_complete::Shell;

use self::title::Title;
use crate::exit;

/// The line protocol: a link, so that the package of this crate has a copy.
const PROTOCOL: &str = include_str!("../../docs/PROTOCOL.md");

/// The arguments of `towline man`.
#[derive(Debug, clap::Args)]
pub(crate) struct ManArgs {
    /// Folder that the pages are written to; it is made if it does not exist
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Date that the pages bear, such as 2026-11-28 [default: none]
    #[arg(long, value_name = "DATE", default_value = "", hide_default_value = true, value_parser = clap::builder::StringValueParser::new().try_map(date))]
    date: String,
}

/// The arguments of `towline completions`.
#[derive(Debug, clap::Args)]
pub(crate) struct CompletionArgs {
    /// Shell that the script is for
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Writes the manual pages of `command` and its commands, of the configuration file and the protocol.
pub(crate) fn run(args: &ManArgs, command: Command) -> ExitCode {
    let pages = pages(command, &args.date);
    let written = fs::create_dir_all(&args.dir).map_err(|error| (args.dir.clone(), error));
    let written = pages.into_iter().fold(written, |written, (name, text)| {
        let path = args.dir.join(name);
        written.and_then(|()| fs::write(&path, text).map_err(|error| (path, error)))
    });
    match written {
        Ok(()) => ExitCode::from(exit::CLEAN),
        Err((path, error)) => {
            exit::with(exit::FAILED, format_args!("cannot write {}: {error}", path.display()))
        }
    }
}

/// Prints the completion script of a shell for `command`.
pub(crate) fn complete(args: &CompletionArgs, command: &Command) -> ExitCode {
    exit::printing(&completions::script(args.shell, command))
}

/// File names and texts of all pages.
fn pages(command: Command, date: &str) -> Vec<(String, String)> {
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = command_page::all(&command, date);
    let file = Title { name: "towline.toml", section: 5, about: "settings of towline", date };
    pages.push((file.file_name(), settings_page::render(&file)));
    let protocol =
        Title { name: "towline-protocol", section: 7, about: "the line protocol of towline", date };
    pages.push((protocol.file_name(), markdown::render(&protocol, PROTOCOL)));
    pages.into_iter().map(|(name, text)| (name, tidy::tidy(&text))).collect()
}

/// A date as pages bear it: `YYYY-MM-DD`.
fn date(text: String) -> Result<String, String> {
    let shape: String = text.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    if text.is_empty() || shape == "0000-00-00" {
        Ok(text)
    } else {
        Err("expected a date such as 2026-11-28".into())
    }
}
