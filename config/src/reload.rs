//! Which of the new settings a running server can take over.

use std::fmt;

use crate::{
    effective::Effective,
    key::{Key, Reload},
    settings::Settings,
};

/// A changed setting that takes effect only when the server starts again. `Display` is one sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PendingRestart {
    /// Dotted key.
    pub key: &'static str,
    /// Its value in the running server; a secret one is redacted.
    pub running: String,
    /// The value that was asked for; a secret one is redacted.
    pub wanted: String,
}

impl fmt::Display for PendingRestart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, running, wanted } = self;
        write!(f, "{key} = {wanted} takes effect on restart: it is still {running}")
    }
}

impl Settings {
    /// The settings of a server that runs with `self` after it loaded `wanted`, and the changes that
    /// it could not take over.
    pub fn reload(&self, wanted: &Self) -> (Self, Vec<PendingRestart>) {
        let (mut result, mut kept) = (self.clone(), Vec::new());
        for key in changed(self, wanted) {
            let (running, text) = (key.value(self).to_string(), key.value(wanted).to_string());
            match key.reload {
                Reload::Live => key.copy(wanted, &mut result),
                Reload::Restart if key.secret => {
                    let redacted = || "<redacted>".to_owned();
                    kept.push(PendingRestart {
                        key: key.name,
                        running: redacted(),
                        wanted: redacted(),
                    });
                }
                Reload::Restart => {
                    kept.push(PendingRestart { key: key.name, running, wanted: text });
                }
            }
        }
        (result, kept)
    }
}

impl Effective {
    /// As [`Settings::reload`], with the origin of each value.
    pub fn reload(&self, wanted: &Self) -> (Self, Vec<PendingRestart>) {
        let (settings, kept) = self.settings.reload(&wanted.settings);
        let from_wanted = |name: &str| !kept.iter().any(|pending| pending.key == name);
        let origins = Key::all().iter().map(|key| {
            let source = if from_wanted(key.name) { wanted } else { self };
            (key.name, source.origin(key))
        });
        (Self { settings, origins: origins.collect() }, kept)
    }

    /// The keys whose values differ between `self` and `other`.
    pub fn changed(&self, other: &Self) -> Vec<&'static Key> {
        changed(&self.settings, &other.settings).collect()
    }
}

fn changed(one: &Settings, other: &Settings) -> impl Iterator<Item = &'static Key> {
    Key::all().iter().filter(|key| !key.is_equal(one, other))
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroU32, path::PathBuf, time::Duration};

    use super::*;

    fn with(change: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    }

    #[test]
    fn live_settings_are_taken_over_and_the_others_are_returned() {
        let wanted = with(|settings| {
            settings.limits.connections = NonZeroU32::new(5);
            settings.timeouts.request = None;
            settings.server.threads = NonZeroU32::new(3);
            settings.tls.key = vec![PathBuf::from("/etc/secret.pem")];
        });
        let (result, kept) = Settings::default().reload(&wanted);
        let expected = with(|settings| {
            settings.limits.connections = NonZeroU32::new(5);
            settings.timeouts.request = None;
        });
        assert_eq!(result, expected);
        let kept: Vec<_> = kept.iter().map(PendingRestart::to_string).collect();
        assert_eq!(
            kept,
            [
                "server.threads = 3 takes effect on restart: it is still auto",
                "tls.key = <redacted> takes effect on restart: it is still <redacted>",
            ]
        );
    }

    #[test]
    fn the_same_settings_change_nothing() {
        let settings = with(|settings| settings.heartbeat.interval = None);
        assert_eq!(settings.reload(&settings), (settings.clone(), Vec::new()));
    }

    #[test]
    fn each_origin_belongs_to_the_value_in_force() {
        let mut wanted = Effective::default();
        wanted.settings.timeouts.idle = Some(Duration::from_secs(60));
        wanted.settings.server.backlog = 7;
        for key in ["timeouts.idle", "server.backlog", "log.level"] {
            wanted.origins.insert(key, "file towline.toml:1".to_owned());
        }
        let (result, kept) = Effective::default().reload(&wanted);
        assert_eq!(kept.len(), 1);
        assert_eq!(result.origins["timeouts.idle"], "file towline.toml:1");
        // The value is the same, its origin is not.
        assert_eq!(result.origins["log.level"], "file towline.toml:1");
        assert_eq!(result.origins["server.backlog"], "built-in");
    }
}
