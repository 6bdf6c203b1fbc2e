//! Where settings come from, and how the layers become one whole.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use crate::{
    check,
    effective::Effective,
    environment,
    error::{Error, Errors, Problem, quoted},
    file,
    key::Key,
    profile,
};

/// What [`load`] reads, lowest precedence first: built-in values < `profile` < `file` <
/// `environment` < `flags`. Keep it to load again on reload.
///
/// ```
/// use towline_config::{Key, Sources, load};
///
/// let mut sources = Sources::default();
/// sources.profile = Some("buffered-10k".into());
/// sources.environment([("TOWLINE_LIMITS__CONNECTIONS".into(), "5k".into())]);
/// sources.flag(Key::find("server.listen").unwrap(), "127.0.0.1:0");
///
/// let effective = load(&sources)?;
/// assert_eq!(effective.settings.limits.connections.unwrap().get(), 5_000);
/// assert_eq!(effective.origins["flush.policy"], "profile buffered-10k");
/// assert_eq!(effective.origins["server.listen"], "flag --listen");
/// # Ok::<(), towline_config::Errors>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Name of a built-in profile.
    pub profile: Option<String>,
    /// A TOML file.
    pub file: Option<PathBuf>,
    environment: BTreeMap<String, OsString>,
    flags: Vec<(&'static Key, String)>,
}

impl Sources {
    /// Takes the `TOWLINE_` variables out of `variables`; the caller brings the environment, so
    /// that nothing here depends on the process it runs in.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if name.starts_with(Key::VARIABLE_PREFIX) {
                self.environment.insert(name.into_owned(), value);
            }
        }
    }

    /// Adds a flag; the last of several for one key wins.
    pub fn flag(&mut self, key: &'static Key, text: impl Into<String>) {
        self.flags.push((key, text.into()));
    }
}

/// Reads all layers into settings that are valid as a whole.
///
/// # Errors
/// With every mistake found: unknown keys, values that are not what their key takes, features this
/// version does not have, settings that contradict each other. A bad value is an error even where
/// a higher layer overrides it.
pub fn load(sources: &Sources) -> Result<Effective, Errors> {
    let mut reading = Reading::default();
    if let Some(name) = &sources.profile {
        profile::read(name, &mut reading);
    }
    if let Some(path) = &sources.file {
        file::read(path, &mut reading);
    }
    environment::read(&sources.environment, &mut reading);
    for (key, text) in &sources.flags {
        reading.set(key, text, format!("flag {}", key.flag.unwrap_or(key.name)));
    }
    // The whole is judged only when its parts are sound; else one mistake would be told twice.
    if reading.errors.is_empty() {
        check::whole(&reading.effective, &mut reading.errors);
    }
    Errors::check(reading.errors)?;
    Ok(reading.effective)
}

/// The layers read so far, and the mistakes found in them.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) effective: Effective,
    pub(crate) errors: Vec<Error>,
}

impl Reading {
    /// Overrides what lower layers said about `key`.
    pub(crate) fn set(&mut self, key: &'static Key, text: &str, origin: String) {
        match key.set(&mut self.effective.settings, text) {
            Ok(()) => {
                self.effective.origins.insert(key.name, origin);
            }
            Err(problem) => self.wrong(key, text, origin, problem),
        }
    }

    /// Notes a value that `key` does not take.
    pub(crate) fn wrong(&mut self, key: &Key, text: &str, origin: String, problem: Problem) {
        self.errors.push(Error::Value {
            key: key.name,
            value: quoted(text),
            origin,
            problem,
            expected: key.expected(),
        });
    }
}
