//! Where settings come from, and how the layers become one whole.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use crate::{
    check, effective::Effective, environment, error::Errors, file, key::Key, loader::Loader,
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
    let mut loader = Loader::default();
    if let Some(name) = &sources.profile {
        profile::read(name, &mut loader);
    }
    if let Some(path) = &sources.file {
        file::read(path, &mut loader);
    }
    environment::read(&sources.environment, &mut loader);
    for (key, text) in &sources.flags {
        loader.set(key, text, format!("flag {}", key.flag.unwrap_or(key.name)));
    }
    // The whole is judged only when its parts are sound; else one mistake would be told twice.
    if loader.errors.is_empty() {
        check::whole(&loader.effective, &mut loader.errors);
    }
    Errors::check(loader.errors)?;
    Ok(loader.effective)
}
