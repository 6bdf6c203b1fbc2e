//! The layers that settings come from, and the function that merges them.

use std::{collections::BTreeMap, ffi::OsString};

use crate::{
    IgnoredVariable, check, effective::Effective, environment, error::Errors, key::Key,
    loader::Loader,
};
#[cfg(feature = "file")]
use crate::{file, profile};

/// The layers that [`load`] merges, lowest precedence first: built-in values < `profile` < `file` <
/// `environment` < `flags`. Keep it to load again on reload.
///
/// Profiles and files need the feature `file`.
///
#[cfg_attr(feature = "file", doc = "```")]
#[cfg_attr(not(feature = "file"), doc = "```ignore")]
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
    #[cfg(feature = "file")]
    pub profile: Option<String>,
    /// Path of a TOML file.
    #[cfg(feature = "file")]
    pub file: Option<std::path::PathBuf>,
    environment: BTreeMap<String, OsString>,
    flags: Vec<(&'static Key, String)>,
}

impl Sources {
    /// Adds those of `variables` that begin with `TOWLINE_`. The caller passes the environment, so
    /// that nothing here depends on the process it runs in.
    pub fn environment(&mut self, variables: impl IntoIterator<Item = (OsString, OsString)>) {
        for (name, value) in variables {
            let name = name.to_string_lossy();
            if name.starts_with(Key::VARIABLE_PREFIX) {
                self.environment.insert(name.into_owned(), value);
            }
        }
    }

    /// Adds a flag. The last of several for one key wins; several for a list are its items.
    pub fn flag(&mut self, key: &'static Key, text: impl Into<String>) {
        self.flags.push((key, text.into()));
    }

    /// The flags, with those of each list joined.
    fn merged_flags(&self) -> Vec<(&'static Key, String)> {
        let mut merged: Vec<(&'static Key, String)> = Vec::new();
        for (key, text) in &self.flags {
            match merged.iter_mut().find(|(known, _)| key.list && known.name == key.name) {
                Some((_, items)) => {
                    items.push(',');
                    items.push_str(text);
                }
                None => merged.push((key, text.clone())),
            }
        }
        merged
    }

    /// The `TOWLINE_` variables that [`load`] neither reads nor refuses, to warn about. Those that
    /// Kubernetes makes for a service called `towline`, and `TOWLINE_FLAGS` of the systemd unit, are
    /// left out.
    pub fn ignored_variables(&self) -> Vec<IgnoredVariable> {
        IgnoredVariable::among(&self.environment)
    }
}

/// Merges all layers into settings that are valid as a whole.
///
/// # Errors
/// Returns every mistake found: unknown keys, values that a key does not take, features that this
/// version does not have, settings that contradict each other. A bad value is an error even where
/// a higher layer overrides it.
pub fn load(sources: &Sources) -> Result<Effective, Errors> {
    let mut loader = Loader::default();
    #[cfg(feature = "file")]
    if let Some(name) = &sources.profile {
        profile::read(name, &mut loader);
    }
    #[cfg(feature = "file")]
    if let Some(path) = &sources.file {
        file::read(path, &mut loader);
    }
    environment::read(&sources.environment, &mut loader);
    for (key, text) in sources.merged_flags() {
        loader.set(key, &text, format!("flag {}", key.flag.unwrap_or(key.name)));
    }
    // Only when each value is valid: else one mistake would be reported twice.
    if loader.errors.is_empty() {
        check::settings(&loader.effective, &mut loader.errors);
    }
    Errors::check(loader.errors)?;
    Ok(loader.effective)
}
