//! Built-in profiles: configuration files that are compiled in.
//!
//! Each is one column of the table at the end of *Managing 10K+ Concurrent Connections in Go*
//! (<https://goperf.dev/02-networking/10k-connections/>, part of the Go Optimization Guide), "the
//! article" in help texts: the load that the project compares itself with.

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

/// Names of the built-in profiles, in the order of the table's columns.
pub fn profiles() -> impl Iterator<Item = &'static str> {
    PROFILES.iter().map(|(name, _)| *name)
}

/// Sets what the profile `name` says.
pub(crate) fn read(name: &str, loader: &mut Loader) {
    match PROFILES.iter().find(|(known, _)| *known == name) {
        Some((name, text)) => toml_text::read(text, &|_line| format!("profile {name}"), loader),
        None => loader
            .errors
            .push(Error::UnknownProfile { name: quoted(name), expected: alternatives(profiles()) }),
    }
}
