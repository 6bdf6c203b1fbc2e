//! Generated documents: the reference file, profiles, JSON, TOML.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{path::Path, time::Duration};

use support::{from_file, key, loaded};
use towline_config::{
    Digest, Effective, FlushPolicy, Key, Reload, Settings, Sources, WorkloadKind, reference,
};

const REFERENCE: &str = include_str!("../towline.toml");

#[test]
fn the_reference_file_is_current() {
    assert!(
        REFERENCE == reference(),
        "config/towline.toml is out of date: \
         cargo run -p towline-config --example reference > config/towline.toml"
    );
}

#[test]
fn the_reference_file_sets_every_key_to_its_default() {
    let effective = from_file(REFERENCE).unwrap();
    assert_eq!(effective.settings, Settings::default());
    for key in Key::all() {
        assert!(effective.origins[key.name].starts_with("file "), "{key:?} is not set");
        assert!(REFERENCE.contains(&key.variable()), "{key:?} has no variable");
        assert!(key.flag.is_none_or(|flag| REFERENCE.contains(flag)), "{key:?} has no flag");
    }
}

#[test]
fn the_reference_file_fits_a_terminal() {
    for line in REFERENCE.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

fn profile(name: &str) -> Effective {
    let mut sources = Sources::default();
    sources.profile = Some(name.into());
    loaded(&sources).unwrap()
}

#[test]
fn profiles_are_the_columns_of_the_article() {
    for (name, connections, kind, flush) in [
        ("baseline-10k", 10_000, WorkloadKind::Echo, FlushPolicy::Line),
        ("buffered-10k", 10_000, WorkloadKind::Echo, FlushPolicy::Auto),
        ("buffered-30k", 30_000, WorkloadKind::Echo, FlushPolicy::Auto),
        ("sha256-30k", 30_000, WorkloadKind::Sha256, FlushPolicy::Auto),
    ] {
        let Effective { settings, origins, .. } = profile(name);
        assert_eq!(settings.limits.connections.unwrap().get(), connections, "{name}");
        assert_eq!(settings.workload.kind, kind, "{name}");
        assert_eq!(settings.flush.policy, flush, "{name}");
        assert_eq!(settings.heartbeat.interval, Some(Duration::from_secs(5)), "{name}");
        assert_eq!(settings.heartbeat.timeout, Duration::from_secs(10), "{name}");
        assert_eq!(origins["limits.connections"], format!("profile {name}"));
        assert_eq!(origins["server.listen"], "built-in");
    }
    assert_eq!(profile("sha256-30k").settings.workload.digest, Digest::Discard);
}

#[test]
fn every_profile_file_is_built_in() {
    let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles").read_dir().unwrap();
    let mut files: Vec<_> = files
        .map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    files.sort();
    assert_eq!(files, towline_config::profiles().collect::<Vec<_>>());
}

#[test]
fn json_holds_every_key_with_value_and_origin() {
    let mut sources = Sources::default();
    sources.flag(key("limits.connections"), "10k");
    let json = loaded(&sources).unwrap().to_json();
    assert_eq!(json.as_object().unwrap().len(), Key::all().len());
    assert_eq!(
        json["limits.connections"],
        serde_json::json!({ "value": 10_000, "origin": "flag --max-connections" })
    );
    assert_eq!(
        json["limits.line_bytes"],
        serde_json::json!({ "value": "64KiB", "origin": "built-in" })
    );
    assert_eq!(json["socket.nodelay"]["value"], true);
    assert_eq!(json["server.admin"]["value"], "127.0.0.1:9464");
}

#[test]
fn json_redacts_secrets() {
    let secret = |key: &&Key| key.secret;
    assert!(Key::all().iter().any(|key| secret(&key)));
    for key in Key::all().iter().filter(secret) {
        let mut effective = Effective::default();
        assert_eq!(effective.to_json()[key.name]["value"], "off");
        key.set(&mut effective.settings, "/very/private").unwrap();
        assert_eq!(effective.to_json()[key.name]["value"], "<redacted>");
        assert!(!effective.to_json().to_string().contains("private"));
    }
}

#[test]
fn toml_holds_every_key_with_its_origin_beside_it() {
    let toml = profile("buffered-10k").to_toml();
    assert!(toml.starts_with("[server]\nlisten = \"127.0.0.1:9000\"  # built-in\n"), "{toml}");
    assert!(toml.contains("\n[flush]\npolicy = \"auto\"  # profile buffered-10k\n"), "{toml}");
    assert_eq!(toml.matches("  # ").count(), Key::all().len());
}

#[test]
fn changed_names_the_keys_that_differ() {
    let (before, after) = (profile("buffered-10k"), profile("sha256-30k"));
    let changed: Vec<_> = before.changed(&after).iter().map(|key| key.name).collect();
    assert_eq!(
        changed,
        ["server.processes", "workload.kind", "workload.digest", "limits.connections"]
    );
    assert!(before.changed(&after)[1..].iter().all(|key| key.reload == Reload::Live));
    assert!(before.changed(&before).is_empty());
}
