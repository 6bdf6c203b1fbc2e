//! Settings together with the origin of each value.

use std::collections::BTreeMap;

use crate::{key::Key, settings::Settings};

/// The origin of a value that no layer set.
const BUILT_IN: &str = "built-in";

/// Settings together with the origin of each value: the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Effective {
    /// The validated settings.
    pub settings: Settings,
    /// For each key in dotted spelling, where its value came from: `built-in`, `profile NAME`,
    /// `file PATH:LINE`, `environment TOWLINE_…`, `flag --…` or `set at run time`.
    pub origins: BTreeMap<&'static str, String>,
}

impl Default for Effective {
    /// The built-in settings.
    fn default() -> Self {
        Self::new(Settings::default(), BUILT_IN)
    }
}

impl Effective {
    /// `settings`, all of which come from `origin`.
    pub fn new(settings: Settings, origin: &str) -> Self {
        let origins = Key::all().iter().map(|key| (key.name, origin.to_owned())).collect();
        Self { settings, origins }
    }

    /// The origin of the value of `key`.
    pub fn origin(&self, key: &Key) -> String {
        self.origins.get(key.name).map_or(BUILT_IN, String::as_str).to_owned()
    }

    /// `{"limits.connections": {"value": "auto", "origin": "built-in"}, …}` for the admin port.
    /// Values are what a file would hold; secret ones that are set read `<redacted>`.
    #[cfg(feature = "json")]
    pub fn to_json(&self) -> serde_json::Value {
        let entry = |key: &Key| {
            let value = key.value(&self.settings);
            let value = if key.secret && value != key.default() {
                "<redacted>".into()
            } else {
                value.to_json()
            };
            let entry = serde_json::json!({ "value": value, "origin": self.origin(key) });
            (key.name.to_owned(), entry)
        };
        serde_json::Value::Object(Key::all().iter().map(entry).collect())
    }

    /// A configuration file with these settings, each with its origin in a comment. Secrets are
    /// shown: the reader is the person who runs the server.
    #[cfg(feature = "file")]
    pub fn to_toml(&self) -> String {
        self.to_annotated_toml(|_key| None)
    }

    /// As [`to_toml`](Self::to_toml), with a note of the caller behind the origin: what `auto` comes
    /// to on this host, for instance, which nothing in this crate knows.
    #[cfg(feature = "file")]
    pub fn to_annotated_toml(&self, note: impl Fn(&Key) -> Option<String>) -> String {
        use std::fmt::Write as _;

        let mut text = String::new();
        for (section, _about) in crate::table::SECTIONS {
            let lines: Vec<_> = Key::all()
                .iter()
                .filter(|key| key.section() == *section)
                .map(|key| {
                    let value = key.value(&self.settings).to_toml();
                    let note = note(key).map_or_else(String::new, |note| format!("; {note}"));
                    (format!("{} = {value}", key.field()), self.origin(key) + &note)
                })
                .collect();
            let width = lines.iter().map(|(assignment, _)| assignment.chars().count()).max();
            let width = width.unwrap_or(0);
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
            for (assignment, comment) in lines {
                let _ = writeln!(text, "{assignment:width$}  # {comment}");
            }
        }
        text
    }
}
