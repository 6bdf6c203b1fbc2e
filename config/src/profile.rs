//! Built-in profiles: the columns of the table in the article that the project measures itself
//! against. Each is a configuration file of its own, compiled in.

use crate::{
    error::{Error, alternatives, quoted},
    loader::Loader,
    toml_text,
};

const PROFILES: [(&str, &str); 4] = [
    ("baseline-10k", include_str!("../profiles/baseline-10k.toml")),
    ("buffered-10k", include_str!("../profiles/buffered-10k.toml")),
    ("buffered-30k", include_str!("../profiles/buffered-30k.toml")),
    ("sha256-30k", include_str!("../profiles/sha256-30k.toml")),
];

/// Names of the built-in profiles, for help texts.
pub fn profiles() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

pub(crate) fn read(name: &str, loader: &mut Loader) {
    match PROFILES.iter().find(|(known, _)| *known == name) {
        Some((name, text)) => toml_text::read(text, &|_line| format!("profile {name}"), loader),
        None => loader
            .errors
            .push(Error::UnknownProfile { name: quoted(name), expected: alternatives(profiles()) }),
    }
}
