//! Helpers of this crate's tests.

#![allow(dead_code, reason = "each test uses a part")]

use std::ffi::OsString;

use proptest::prelude::*;
use towline_config::{Effective, Key, Sources, load};
use towline_test_support::TempFile;

pub(crate) fn key(name: &str) -> &'static Key {
    Key::find(name).unwrap_or_else(|| panic!("no key {name}"))
}

/// Whether a rule binds the value of `key` to others: a drain must be longer than its delays, a line
/// shorter than the memory for buffers, optional PROXY headers need trusted senders, and the files of TLS each other.
pub(crate) fn is_bound_to_others(key: &Key) -> bool {
    let bound = ["limits.line_bytes", "proxy_protocol.mode"];
    let is_part = key.name.starts_with("timeouts.drain") || key.name.starts_with("tls.");
    is_part || bound.contains(&key.name)
}

pub(crate) fn from_file(text: impl AsRef<[u8]>) -> Result<Effective, Vec<String>> {
    let file = TempFile::new(text);
    let mut sources = Sources::default();
    sources.file = Some(file.path().to_owned());
    // The name differs between runs, so tests expect `FILE`.
    let name = file.path().display().to_string();
    loaded(&sources)
        .map_err(|errors| errors.iter().map(|error| error.replace(&name, "FILE")).collect())
}

pub(crate) fn from_environment(variables: &[(&str, &str)]) -> Result<Effective, Vec<String>> {
    let mut sources = Sources::default();
    sources.environment(os(variables));
    loaded(&sources)
}

pub(crate) fn from_flag(name: &str, text: &str) -> Result<Effective, Vec<String>> {
    let mut sources = Sources::default();
    sources.flag(key(name), text);
    loaded(&sources)
}

/// The mistakes as sentences.
pub(crate) fn loaded(sources: &Sources) -> Result<Effective, Vec<String>> {
    load(sources).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

pub(crate) fn os(variables: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    variables.iter().map(|(name, value)| (name.into(), value.into())).collect()
}

/// Texts that `key` accepts, of every alternative in its placeholder.
pub(crate) fn valid_text(key: &'static Key) -> BoxedStrategy<String> {
    let placeholder = key.placeholder();
    let ways = placeholder.split('|').map(|way| match way {
        "NUMBER" => prop_oneof![
            (1..=1024u32).prop_map(|count| count.to_string()),
            Just("1_000".to_owned()),
            Just("1k".to_owned()),
        ]
        .boxed(),
        // `limits.buffer_bytes` has a minimum of 1 MiB.
        "SIZE" if key.name.contains("buffer") => {
            (1..=1_000u32).prop_map(|size| format!("{size}MiB")).boxed()
        }
        "SIZE" => (1..=1_000u32, prop::sample::select(vec!["", "B", "KiB", "kB", " MB", "kib"]))
            .prop_map(|(size, unit)| format!("{size}{unit}"))
            .boxed(),
        // Every key with a duration accepts whole seconds up to 32,767.
        "DURATION" => prop_oneof![
            (1..=32_767u32).prop_map(|time| format!("{time}s")),
            (1..=32u32).prop_map(|time| format!("{time}000ms")),
            (1..=546u32).prop_map(|time| format!("{time} m")),
            (1..=9u32).prop_map(|time| format!("{time}h")),
            (1..=32_767u32).prop_map(|time| time.to_string()),
            Just("0.25d".to_owned()),
        ]
        .boxed(),
        "ADDR" => address(key).boxed(),
        "NETWORKS" => prop_oneof![
            any::<std::net::IpAddr>().prop_map(|ip| ip.to_canonical().to_string()),
            Just("10.0.0.0/8, 2001:db8::/32".to_owned()),
        ]
        .boxed(),
        "PATH" | "FILE" => "(/[a-z ä\"\\\\#']{1,9}){1,3}".boxed(),
        "every:N" => (1..=1_000_000u32).prop_map(|lines| format!("every:{lines}")).boxed(),
        word => Just(word.to_owned()).boxed(),
    });
    prop::strategy::Union::new(ways).boxed()
}

fn address(key: &Key) -> impl Strategy<Value = String> + use<> {
    // Separate port ranges, because server.listen and server.admin must differ.
    let (lowest, unix) = if key.name == "server.listen" { (1, true) } else { (30_000, false) };
    let port = lowest..lowest + 20_000u16;
    let tcp = (any::<std::net::IpAddr>(), port)
        .prop_map(|(ip, port)| std::net::SocketAddr::new(ip, port).to_string());
    (tcp, "unix:(/[a-zA-Z0-9. _-]{1,20}){1,4}", any::<bool>())
        .prop_map(move |(tcp, path, wanted)| if unix && wanted { path } else { tcp })
}
