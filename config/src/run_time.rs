//! Settings that are set while the server runs: the layer above all others.

use std::collections::BTreeMap;

use crate::{
    check,
    effective::Effective,
    error::{Error, Errors, shown},
    key::{Key, Reload},
    loader::Loader,
    suggest::nearest_key,
};

/// The origin of a value that was set while the server runs.
const ORIGIN: &str = "set at run time";

/// Settings set while the server runs, by key. They override every other layer until they are withdrawn or the
/// server ends.
///
/// ```
/// use towline_config::{Effective, RunTimeSettings};
///
/// let loaded = Effective::default();
/// let mut set = RunTimeSettings::default();
/// set.set("limits.concurrency", Some("8"))?;
/// let effective = set.over(&loaded)?;
/// assert_eq!(effective.settings.limits.concurrency.get(), 8);
/// assert_eq!(effective.origins["limits.concurrency"], "set at run time");
/// set.set("limits.concurrency", None)?;
/// assert_eq!(set.over(&loaded)?, loaded);
/// # Ok::<(), towline_config::Errors>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunTimeSettings(BTreeMap<&'static str, String>);

impl RunTimeSettings {
    /// Sets the key `name` to `text`, or withdraws what was set with `None`.
    ///
    /// # Errors
    /// When there is no such key, or when it takes effect on restart only. The value is checked by
    /// [`over`](Self::over).
    pub fn set(&mut self, name: &str, text: Option<&str>) -> Result<&'static Key, Errors> {
        let Some(key) = Key::find(name) else {
            let (key, nearest) = (shown(name), nearest_key(name).name);
            return Err(Errors::one(Error::UnknownKey { key, origin: ORIGIN.into(), nearest }));
        };
        if key.reload == Reload::Restart {
            return Err(Errors::one(Error::NeedsRestart { key: key.name }));
        }
        match text {
            Some(text) => self.0.insert(key.name, text.to_owned()),
            None => self.0.remove(key.name),
        };
        Ok(key)
    }

    /// The keys that are set.
    pub fn keys(&self) -> impl ExactSizeIterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// These settings over `loaded`, validated as a whole.
    ///
    /// # Errors
    /// With every value that its key does not take, and settings that contradict each other.
    pub fn over(&self, loaded: &Effective) -> Result<Effective, Errors> {
        let mut loader = Loader { effective: loaded.clone(), errors: Vec::new() };
        for (name, text) in &self.0 {
            if let Some(key) = Key::find(name) {
                loader.set(key, text, ORIGIN.to_owned());
            }
        }
        // Settings that were not set here come from a load or a program, which have checks of their own.
        if loader.errors.is_empty() && !self.0.is_empty() {
            check::settings(&loader.effective, &mut loader.errors);
        }
        Errors::check(loader.errors)?;
        Ok(loader.effective)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(settings: &[(&str, &str)]) -> Result<Effective, String> {
        let mut set = RunTimeSettings::default();
        for (name, text) in settings {
            set.set(name, Some(text)).map_err(|errors| errors.to_string())?;
        }
        set.over(&Effective::default()).map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_is_set_overrides_and_the_rest_stays() {
        let effective = over(&[("timeouts.idle", "5m"), ("log.level", "debug")]).expect("valid");
        assert_eq!(effective.origins["timeouts.idle"], "set at run time");
        assert_eq!(effective.origins["timeouts.line"], "built-in");
    }

    #[test]
    fn each_mistake_is_one_sentence() {
        for (name, value, sentence) in [
            (
                "limits.conections",
                "5",
                "unknown key limits.conections (set at run time): the nearest valid key is \
                 limits.connections",
            ),
            (
                "server.threads",
                "4",
                "server.threads takes effect on restart, so it cannot be set while the server runs",
            ),
            (
                "limits.overload",
                "drop",
                "limits.overload = \"drop\" (set at run time) is unknown: expected wait or shed",
            ),
            (
                "timeouts.drain_delay",
                "1h",
                "timeouts.drain = \"30s\" (built-in) leaves no time to finish: expected more than \
                 timeouts.drain_delay and timeouts.drain_spread together",
            ),
        ] {
            assert_eq!(over(&[(name, value)]), Err(sentence.to_owned()));
        }
    }
}
