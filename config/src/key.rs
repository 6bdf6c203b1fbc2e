//! A key: the name of a setting, its flag and variable, and how its text is read and written.

use std::fmt;

use crate::{error::ValueError, grammar::Grammar, settings::Settings, value::Value};

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reload {
    /// On reload, for open connections too where that makes sense.
    Live,
    /// When the server starts again.
    Restart,
}

/// A setting's key: what files, environment, flags and documentation share about it.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Key {
    /// Dotted name: `limits.line_bytes`.
    pub name: &'static str,
    /// Flag with its dashes, `--max-line`; some keys have none.
    pub flag: Option<&'static str>,
    /// What the setting does, in sentences.
    pub doc: &'static str,
    /// When a change takes effect.
    pub reload: Reload,
    /// Whether the value is a list, whose text has commas between its items. A file may write it as an array, and
    /// repeated flags add to it.
    pub list: bool,
    /// Whether the admin port and the log redact the value.
    pub secret: bool,
    access: &'static dyn Access,
}

impl Key {
    /// The part of the name before the dot: the TOML table.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(section, _)| section)
    }

    /// The part of the name after the dot: the key within the TOML table.
    pub fn field(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, field)| field)
    }

    /// The environment variable: `TOWLINE_LIMITS__LINE_BYTES`.
    pub fn variable(&self) -> String {
        format!("{}{}", Self::VARIABLE_PREFIX, self.name.replace('.', "__").to_uppercase())
    }

    /// Parses `text` and stores it in `settings`.
    ///
    /// # Errors
    /// When `text` is not what [`expected`](Self::expected) says; `settings` is unchanged then.
    pub fn set(&self, settings: &mut Settings, text: &str) -> Result<(), ValueError> {
        self.access.set(settings, text)
    }

    /// Copies the value in `from` to `to`. What a file held when it was read is copied with it.
    pub(crate) fn copy(&self, from: &Settings, to: &mut Settings) {
        self.access.copy(from, to);
    }

    /// Whether the values are equal, and what their files held when they were read.
    pub(crate) fn is_equal(&self, one: &Settings, other: &Settings) -> bool {
        self.access.equal(one, other)
    }

    /// The value in `settings`. [`set`](Self::set) reads its text back to the same.
    pub fn value(&self, settings: &Settings) -> Value {
        self.access.value(settings)
    }

    /// The built-in value.
    pub fn default(&self) -> Value {
        self.value(&Settings::default())
    }

    /// What [`set`](Self::set) accepts, as words that follow "expected" or "accepts".
    pub fn expected(&self) -> String {
        self.access.expected()
    }

    /// Placeholder of the value in a help text, such as `SIZE`.
    pub fn placeholder(&self) -> String {
        self.access.placeholder()
    }

    pub(crate) const VARIABLE_PREFIX: &'static str = "TOWLINE_";

    pub(crate) const fn new(
        name: &'static str,
        access: &'static dyn Access,
        doc: &'static str,
    ) -> Self {
        Self { name, flag: None, doc, reload: Reload::Restart, list: false, secret: false, access }
    }

    pub(crate) const fn flag(mut self, flag: &'static str) -> Self {
        self.flag = Some(flag);
        self
    }

    pub(crate) const fn live(mut self) -> Self {
        self.reload = Reload::Live;
        self
    }

    pub(crate) const fn list(mut self) -> Self {
        self.list = true;
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

/// Reads and writes one field of the settings as text; hides the type of the field.
pub(crate) trait Access: Sync {
    fn set(&self, settings: &mut Settings, text: &str) -> Result<(), ValueError>;
    fn copy(&self, from: &Settings, to: &mut Settings);
    fn equal(&self, one: &Settings, other: &Settings) -> bool;
    fn value(&self, settings: &Settings) -> Value;
    fn expected(&self) -> String;
    fn placeholder(&self) -> String;
}

/// A field and the grammar of its text.
pub(crate) struct Field<T: 'static, G> {
    pub(crate) get: fn(&Settings) -> &T,
    pub(crate) get_mut: fn(&mut Settings) -> &mut T,
    pub(crate) grammar: G,
}

impl<T: Clone + PartialEq, G: Grammar<T>> Access for Field<T, G> {
    fn set(&self, settings: &mut Settings, text: &str) -> Result<(), ValueError> {
        *(self.get_mut)(settings) = self.grammar.parse(text)?;
        Ok(())
    }

    fn copy(&self, from: &Settings, to: &mut Settings) {
        (self.get_mut)(to).clone_from((self.get)(from));
    }

    fn equal(&self, one: &Settings, other: &Settings) -> bool {
        (self.get)(one) == (self.get)(other)
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
