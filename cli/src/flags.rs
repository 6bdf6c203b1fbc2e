//! Server settings as flags, generated from the table of keys: their help, values and defaults are
//! those of the keys.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, Error, FromArgMatches, builder::StyledStr};
use towline_config::{Effective, Errors, Key, Reload, Sources};

/// Most ignored variables that are warned about one by one.
const WARNINGS_MAX: usize = 10;

const SOURCES: &str = "Sources of settings";
/// `--profile`, `--config`, and a flag for each key that has one.
#[derive(Debug, Clone)]
pub(crate) struct SettingFlags {
    sources: Sources,
}

impl SettingFlags {
    /// Loads the settings: these flags over the environment, the file and the profile.
    pub(crate) fn load(&self) -> Result<Effective, Errors> {
        towline_config::load(&self.sources)
    }

    /// The profile that `--profile` names.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.sources.profile.as_deref()
    }

    /// The file that `--config` names.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.sources.file.as_deref()
    }

    /// Sentences about `TOWLINE_` variables that are ignored, at most [`WARNINGS_MAX`] and a count of
    /// the others.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let ignored = self.sources.ignored_variables();
        let mut warnings: Vec<_> =
            ignored.iter().take(WARNINGS_MAX).map(ToString::to_string).collect();
        if let Some(more @ 1..) = ignored.len().checked_sub(WARNINGS_MAX) {
            warnings.push(format!("unknown environment variables are ignored: {more} more"));
        }
        warnings
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut sources = Sources::default();
        sources.profile = matches.get_one::<String>("profile").cloned();
        sources.file = matches.get_one::<PathBuf>("config").cloned();
        sources.environment(std::env::vars_os());
        for key in Key::all().iter().filter(|key| key.flag.is_some()) {
            for text in
                matches.try_get_many::<String>(key.name).ok().flatten().into_iter().flatten()
            {
                sources.flag(key, text);
            }
        }
        Ok(Self { sources })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        command.args(layers()).args(Key::all().iter().filter_map(setting))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flags from which the address of the admin port follows: `--profile`, `--config`, `--admin`.
#[derive(Debug, Clone)]
pub(crate) struct AdminFlags(SettingFlags);

impl AdminFlags {
    pub(crate) fn load(&self) -> Result<Effective, Errors> {
        self.0.load()
    }
}

impl FromArgMatches for AdminFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        SettingFlags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl clap::Args for AdminFlags {
    fn augment_args(command: Command) -> Command {
        let admin = Key::find("server.admin").and_then(setting);
        command.args(layers()).args(admin)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flags that name whole layers: `--profile` and `--config`.
#[derive(Debug, Clone)]
pub(crate) struct LayerFlags(SettingFlags);

impl LayerFlags {
    pub(crate) fn load(&self) -> Result<Effective, Errors> {
        self.0.load()
    }
}

impl FromArgMatches for LayerFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        SettingFlags::from_arg_matches(matches).map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl clap::Args for LayerFlags {
    fn augment_args(command: Command) -> Command {
        command.args(layers())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// The flags that name whole layers: `--profile` and `--config`.
fn layers() -> [Arg; 2] {
    let profiles = towline_config::profiles().collect::<Vec<_>>().join(", ");
    [
        Arg::new("profile")
            .long("profile")
            .value_name("NAME")
            .help_heading(SOURCES)
            .help(format!("Built-in settings of a benchmark: {profiles}"))
            .long_help(format!(
                "Built-in settings of a benchmark: the workload of one column of the table in \
                 \"Managing 10K+ Concurrent Connections in Go\" \
                 (https://goperf.dev/02-networking/10k-connections/), which `towline bench \
                 article` reproduces. Every other source overrides them.\nAccepts {profiles}."
            )),
        Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help_heading(SOURCES)
            .help("TOML file with settings")
            .long_help(
                "TOML file with settings. It overrides the profile; the environment and flags \
                 override it. config/towline.toml documents every key.",
            ),
    ]
}

/// The flag of `key`. The table parses its value, not clap, so that a mistake gets the same sentence
/// in a flag, a variable and a file.
fn setting(key: &'static Key) -> Option<Arg> {
    let long = key.flag?.strip_prefix("--")?;
    Some(
        Arg::new(key.name)
            .long(long)
            .value_name(key.placeholder())
            .action(if key.list { ArgAction::Append } else { ArgAction::Set })
            .allow_hyphen_values(is_number(key))
            .help_heading(heading(key))
            .help(short_help(key))
            .long_help(long_help(key)),
    )
}

/// The section of `key`, capitalized.
fn heading(key: &Key) -> String {
    let section = key.section().replace('_', " ");
    let (first, rest) = section.split_at_checked(1).unwrap_or(("", &section));
    first.to_uppercase() + rest
}

/// Numbers may begin with a hyphen, so that `--idle-timeout -5s` is a wrong duration and not an
/// unknown flag `-5`.
fn is_number(key: &Key) -> bool {
    let placeholder = key.placeholder();
    ["NUMBER", "SIZE", "DURATION"].iter().any(|kind| placeholder.starts_with(kind))
}

fn short_help(key: &Key) -> StyledStr {
    let ends = [". ", "; ", ": "];
    let end = ends.iter().filter_map(|end| key.doc.find(end)).min().unwrap_or(key.doc.len());
    let meaning = key.doc[..end].trim_end_matches('.');
    format!("{meaning} [default: {}]", key.default()).into()
}

fn long_help(key: &Key) -> StyledStr {
    let takes_effect = match key.reload {
        Reload::Live => "SIGHUP",
        _ => "restart",
    };
    format!(
        "{}\nAccepts {}. Takes effect on {takes_effect}.\n\
         [default: {}] [key: {}] [environment: {}]",
        key.doc,
        key.expected(),
        key.default(),
        key.name,
        key.variable()
    )
    .into()
}
