//! What a key is: its name, its other spellings, its texts and what they do to the settings.

use std::fmt;

use crate::{error::ValueError, grammar::Grammar, settings::Settings, value::Value};

/// Whether a change takes effect on reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// At once, for open connections too where that makes sense.
    Live,
    /// Only when the server starts again.
    Restart,
}

/// Whether this version does what the key says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does.
    Built,
    /// It does not: only the default is accepted, anything else is refused with this reason.
    Missing(&'static str),
}

/// A key: everything about a setting that files, environment, flags and documentation share.
pub struct Key {
    /// In dotted spelling, as in `limits.line_bytes`.
    pub name: &'static str,
    /// With its dashes, as in `--max-line`; some keys have none.
    pub flag: Option<&'static str>,
    /// What it means, in sentences.
    pub doc: &'static str,
    /// Whether a change takes effect on reload.
    pub reload: Reload,
    /// Whether this version does it.
    pub support: Support,
    /// Whether the value is kept out of what the admin port shows.
    pub secret: bool,
    access: &'static dyn Access,
}

impl Key {
    /// The part before the dot: its TOML table.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    /// The part after the dot: its name within the TOML table.
    pub fn field(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, field)| field)
    }

    /// The environment variable: `TOWLINE_LIMITS__LINE_BYTES`.
    pub fn variable(&self) -> String {
        format!("{}{}", Self::VARIABLE_PREFIX, self.name.replace('.', "__").to_uppercase())
    }

    /// Sets it from text, whatever this version supports.
    ///
    /// # Errors
    /// When `text` is not what [`Key::expected`] says; `settings` is unchanged then.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Result<(), ValueError> {
        self.access.set(settings, text)
    }

    /// Its value in `settings`; [`Key::set`] reads its text back to the same.
    pub fn value(&self, settings: &Settings) -> Value {
        self.access.value(settings)
    }

    /// Its built-in value.
    pub fn default(&self) -> Value {
        self.value(&Settings::default())
    }

    /// What it takes, in words that follow "expected" or "accepts".
    pub fn expected(&self) -> String {
        self.access.expected()
    }

    /// What stands for its value in a help text, such as `SIZE`.
    pub fn placeholder(&self) -> String {
        self.access.placeholder()
    }

    pub(crate) const VARIABLE_PREFIX: &'static str = "TOWLINE_";

    pub(crate) const fn new(
        name: &'static str,
        access: &'static dyn Access,
        doc: &'static str,
    ) -> Self {
        Self {
            name,
            flag: None,
            doc,
            reload: Reload::Restart,
            support: Support::Built,
            secret: false,
            access,
        }
    }

    pub(crate) const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    pub(crate) const fn live(mut self) -> Self {
        self.reload = Reload::Live;
        self
    }

    pub(crate) const fn missing(mut self, reason: &'static str) -> Self {
        self.support = Support::Missing(reason);
        self
    }

    pub(crate) const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.name).finish()
    }
}

/// Reads and writes one field of the settings as text, whatever its type.
pub(crate) trait Access: Sync {
    fn set(&self, settings: &mut Settings, text: &str) -> Result<(), ValueError>;
    fn value(&self, settings: &Settings) -> Value;
    fn expected(&self) -> String;
    fn placeholder(&self) -> String;
}

/// A field and the grammar of its texts.
pub(crate) struct Field<T: 'static, G> {
    pub(crate) get: fn(&Settings) -> &T,
    pub(crate) get_mut: fn(&mut Settings) -> &mut T,
    pub(crate) grammar: G,
}

impl<T, G: Grammar<T>> Access for Field<T, G> {
    fn set(&self, settings: &mut Settings, text: &str) -> Result<(), ValueError> {
        *(self.get_mut)(settings) = self.grammar.parse(text)?;
        Ok(())
    }

    fn value(&self, settings: &Settings) -> Value {
        self.grammar.print((self.get)(settings))
    }

    fn expected(&self) -> String {
        self.grammar.expected()
    }

    fn placeholder(&self) -> String {
        self.grammar.placeholder()
    }
}
