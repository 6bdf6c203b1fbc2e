//! The layers read so far and the mistakes found in them, which every kind of layer adds to.

use crate::{
    effective::Effective,
    error::{Error, ValueError, quoted},
    key::Key,
};

/// Merges layers into settings, lowest precedence first, and collects every mistake on the way.
#[derive(Debug, Default)]
pub(crate) struct Loader {
    pub(crate) effective: Effective,
    pub(crate) errors: Vec<Error>,
}

impl Loader {
    /// Sets `key`, overriding the layers read before, or records why `text` is not a value of it.
    pub(crate) fn set(&mut self, key: &'static Key, text: &str, origin: String) {
        match key.set(&mut self.effective.settings, text) {
            Ok(()) => {
                self.effective.origins.insert(key.name, origin);
            }
            Err(problem) => self.reject(key, text, origin, problem),
        }
    }

    /// Records a value that `key` does not take.
    pub(crate) fn reject(&mut self, key: &Key, text: &str, origin: String, problem: ValueError) {
        self.errors.push(Error::Value {
            key: key.name,
            value: quoted(text),
            origin,
            problem,
            expected: key.expected(),
        });
    }
}
