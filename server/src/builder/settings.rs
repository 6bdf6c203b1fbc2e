//! How the settings of a server are collected.

use std::time::Duration;

use towline_config::{Effective, Heartbeat, Key, Settings};
use towline_units::print_duration;

use super::Builder;
use crate::{RunError, plan::ProtocolRules};

/// All settings, and those without a setter.
impl Builder {
    /// Any other setting.
    pub fn set(mut self, change: impl FnOnce(&mut Settings) + Send + 'static) -> Self {
        self.changes.push(Box::new(|settings| {
            change(settings);
            Ok(())
        }));
        self
    }

    /// The settings that all setters change, in the place of the defaults; setters called before
    /// still apply. Workload kind and digest are ignored: the service decides.
    ///
    /// Default: [`Settings::default`] without the admin port and without the heartbeat, and with the protocol's
    /// choice of [`half_close_timeout`](Self::half_close_timeout). What is given here
    /// means what it says: `Settings::default()` itself, as the `towline` binary starts with, has an admin port
    /// on `127.0.0.1:9464` and a heartbeat of 30 s.
    pub fn settings(mut self, settings: Settings) -> Self {
        self.base = Some(settings);
        self
    }

    /// Sets `name` to the text that a configuration file would have for it.
    pub(super) fn key(mut self, name: &'static str, text: String) -> Self {
        self.changes.push(Box::new(move |settings| {
            let Some(key) = Key::find(name) else {
                return Err(RunError::usage(format!("{name} is not a setting")));
            };
            key.set(settings, &text).map_err(|error| {
                let expected = key.expected();
                RunError::usage(format!("{name} = \"{text}\" {error}: expected {expected}"))
            })
        }));
        self
    }

    /// Sets a time to the text that a configuration file would have for it.
    pub(super) fn time(self, name: &'static str, time: Option<Duration>) -> Self {
        self.key(name, time.map_or_else(|| "off".to_owned(), print_duration))
    }

    /// The settings with all changes made.
    pub(crate) fn take_settings(&mut self, protocol: ProtocolRules) -> Result<Effective, RunError> {
        let mut settings = self.base.take().unwrap_or_else(|| {
            let mut defaults = library_defaults();
            protocol.adapt_defaults(&mut defaults);
            defaults
        });
        for change in self.changes.drain(..) {
            change(&mut settings)?;
        }
        protocol.check(&settings)?;
        Ok(Effective::new(settings, "program"))
    }
}

/// The settings of a server that its program has not configured. A library sends nothing of its own into the
/// program's protocol, and opens no port unless it is asked to.
fn library_defaults() -> Settings {
    let mut settings = Settings::default();
    settings.server.admin = None;
    settings.heartbeat = Heartbeat::off();
    settings
}
