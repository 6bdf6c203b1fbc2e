//! Settings together with where each value came from.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{key::Key, settings::Settings, table::SECTIONS};

/// The origin of a value that nobody set.
const BUILT_IN: &str = "built-in";

/// Settings together with where each value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The validated settings.
    pub settings: Settings,
    /// For each key in dotted spelling, where its value came from: `built-in`, `profile NAME`,
    /// `file PATH:LINE`, `environment TOWLINE_…` or `flag --…`.
    pub origins: BTreeMap<&'static str, String>,
}

impl Default for Effective {
    /// The built-in settings.
    fn default() -> Self {
        let origins = Key::all().iter().map(|key| (key.name, BUILT_IN.to_owned())).collect();
        Self { settings: Settings::default(), origins }
    }
}

impl Effective {
    /// Where the value of `key` came from.
    pub fn origin(&self, key: &Key) -> String {
        self.origins.get(key.name).map_or(BUILT_IN, String::as_str).to_owned()
    }

    /// `{"limits.connections": {"value": "auto", "origin": "built-in"}, …}` for the admin port.
    /// Values are what a file would hold; secret ones that are set read `<redacted>`.
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
    /// shown: this is for the person who runs the server.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        for (section, _about) in SECTIONS {
            let lines: Vec<_> = Key::all()
                .iter()
                .filter(|key| key.section() == *section)
                .map(|key| {
                    let assignment =
                        format!("{} = {}", key.field(), key.value(&self.settings).to_toml());
                    (assignment, self.origin(key))
                })
                .collect();
            let width = lines.iter().map(|(assignment, _)| assignment.chars().count()).max();
            let width = width.unwrap_or(0);
            // Writing into a String cannot fail.
            let _ = writeln!(text, "{}[{section}]", if text.is_empty() { "" } else { "\n" });
            for (assignment, origin) in lines {
                let _ = writeln!(text, "{assignment:width$}  # {origin}");
            }
        }
        text
    }
}
