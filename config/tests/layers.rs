//! How layers are merged: precedence, origins, and variables that are no settings.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use proptest::{prelude::*, sample::select};
use support::{from_environment, is_bound_to_others, key, loaded, os, valid_text};
use towline_config::{Effective, Key, Sources};
use towline_test_support::TempFile;

#[derive(Debug, Clone)]
struct Layers {
    key: &'static Key,
    profile: Option<&'static str>,
    file: Option<String>,
    environment: Option<String>,
    flag: Option<String>,
}

fn any_layers() -> impl Strategy<Value = Layers> {
    let profiles = towline_config::profiles().collect::<Vec<_>>();
    let alone = Key::all().iter().filter(|key| !is_bound_to_others(key));
    select(alone.collect::<Vec<_>>()).prop_flat_map(move |key| {
        let text = || proptest::option::of(valid_text(key));
        (proptest::option::of(select(profiles.clone())), text(), text(), text()).prop_map(
            move |(profile, file, environment, flag)| {
                // Some keys have no flag.
                let flag = flag.filter(|_| key.flag.is_some());
                Layers { key, profile, file, environment, flag }
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_highest_layer_that_sets_a_key_wins(layers in any_layers()) {
        let key = layers.key;
        let mut sources = Sources::default();
        sources.profile = layers.profile.map(str::to_owned);
        let by_profile = loaded(&sources).unwrap();
        let mut expected = (key.value(&by_profile.settings), by_profile.origins[key.name].clone());

        let file = layers.file.map(|text| {
            let quoted = toml::Value::String(text.clone());
            let file = TempFile::new(format!("\n[{}]\n{} = {quoted}\n", key.section(), key.field()));
            sources.file = Some(file.path().to_owned());
            expected = (value(key, &text), format!("file {}:3", file.path().display()));
            file
        });
        if let Some(text) = layers.environment {
            sources.environment(os(&[(&key.variable(), &text)]));
            expected = (value(key, &text), format!("environment {}", key.variable()));
        }
        if let Some(text) = layers.flag {
            expected = (value(key, &text), format!("flag {}", key.flag.unwrap()));
            sources.flag(key, text);
        }

        let effective = loaded(&sources).unwrap();
        drop(file);
        prop_assert_eq!(
            (key.value(&effective.settings), effective.origins[key.name].clone()),
            expected
        );
        // Other keys are as the profile set them.
        for other in Key::all().iter().filter(|other| other.name != key.name) {
            prop_assert_eq!(&effective.origins[other.name], &by_profile.origins[other.name]);
            prop_assert_eq!(
                other.value(&effective.settings),
                other.value(&by_profile.settings)
            );
        }
    }
}

fn value(key: &Key, text: &str) -> towline_config::Value {
    let mut effective = Effective::default();
    key.set(&mut effective.settings, text).unwrap();
    key.value(&effective.settings)
}

#[test]
fn without_layers_every_value_is_built_in() {
    let effective = loaded(&Sources::default()).unwrap();
    assert_eq!(effective, Effective::default());
    assert_eq!(effective.origins.len(), Key::all().len());
    assert!(effective.origins.values().all(|origin| origin == "built-in"));
}

#[test]
fn a_bad_value_is_an_error_even_where_a_flag_overrides_it() {
    let mut sources = Sources::default();
    sources.environment(os(&[("TOWLINE_LIMITS__CONNECTIONS", "many")]));
    sources.flag(key("limits.connections"), "5");
    assert_eq!(loaded(&sources).unwrap_err().len(), 1);
}

#[test]
fn every_mistake_is_reported_not_only_the_first() {
    let mut sources = Sources::default();
    sources.profile = Some("fast".into());
    sources.environment(os(&[("TOWLINE_LOG__LEVEL", "loud")]));
    sources.flag(key("timeouts.idle"), "0s");
    assert_eq!(
        loaded(&sources).unwrap_err(),
        [
            "unknown profile \"fast\" (flag --profile): expected baseline-10k, buffered-10k, \
             buffered-30k or sha256-30k",
            "log.level = \"loud\" (environment TOWLINE_LOG__LEVEL) is unknown: expected error, \
             warn, info, debug or trace",
            "timeouts.idle = \"0s\" (flag --idle-timeout) is zero: expected a duration from 1ms \
             to 8760h, such as 5s (units ms, s, m, h, d), or off",
        ]
    );
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_valid_one() {
    for (name, nearest) in [
        ("TOWLINE_LIMITS__CONECTIONS", "TOWLINE_LIMITS__CONNECTIONS"),
        ("TOWLINE_HEARTBEAT__INTERVALL", "TOWLINE_HEARTBEAT__INTERVAL"),
        ("TOWLINE_LIMITS_CONNECTIONS", "TOWLINE_LIMITS__CONNECTIONS"),
        ("TOWLINE_SERVER__ADMIN__", "TOWLINE_SERVER__ADMIN"),
        // Nothing is like it, so any key of its section.
        ("TOWLINE_LIMITS__NOPE", "TOWLINE_LIMITS__DENY"),
    ] {
        assert_eq!(
            from_environment(&[(name, "1")]).unwrap_err(),
            [format!("unknown environment variable {name}: the nearest valid one is {nearest}")]
        );
    }
}

/// The settings that `variables` give, and the warnings about them.
fn ignoring(variables: &[(&str, &str)]) -> (Effective, Vec<String>) {
    let mut sources = Sources::default();
    sources.environment(os(variables));
    let warnings = sources.ignored_variables().iter().map(ToString::to_string).collect();
    (loaded(&sources).unwrap(), warnings)
}

#[test]
fn variables_of_kubernetes_and_systemd_and_without_the_prefix_are_ignored_in_silence() {
    let others = [
        ("TOWLINE_SERVICE_HOST", "10.0.0.7"),
        ("TOWLINE_SERVICE_PORT", "9000"),
        ("TOWLINE_SERVICE_PORT_LINES", "9000"),
        ("TOWLINE_PORT", "tcp://10.0.0.7:9000"),
        ("TOWLINE_PORT_9000_TCP", "tcp://10.0.0.7:9000"),
        ("TOWLINE_PORT_9000_TCP_ADDR", "10.0.0.7"),
        ("TOWLINE_PORT_9000_TCP_PORT", "9000"),
        ("TOWLINE_PORT_9000_TCP_PROTO", "tcp"),
        ("TOWLINE_ADMIN_SERVICE_HOST", "10.0.0.8"),
        ("TOWLINE_ADMIN_PORT", "tcp://10.0.0.8:9464"),
        ("TOWLINE_ADMIN_PORT_9464_TCP_ADDR", "10.0.0.8"),
        ("TOWLINE_FLAGS", "--threads 1"),
        ("towline_limits__connections", "5"),
        ("PATH", "/bin"),
        ("LIMITS__CONNECTIONS", "5"),
    ];
    assert_eq!(ignoring(&others), (Effective::default(), vec![]));
}

#[test]
fn other_variables_with_the_prefix_are_ignored_with_a_warning() {
    for (name, advice) in [
        ("TOWLINE_WORKLOAD", "did you mean TOWLINE_WORKLOAD__KIND?"),
        ("TOWLINE_WORKLOD", "did you mean TOWLINE_WORKLOAD__KIND?"),
        ("TOWLINE_CONNECTIONS", "did you mean TOWLINE_LIMITS__CONNECTIONS?"),
        ("TOWLINE_PROCESSES", "did you mean TOWLINE_SERVER__PROCESSES?"),
        ("TOWLINE_LISTEN", "did you mean TOWLINE_SERVER__LISTEN?"),
        ("TOWLINE_PORT", "did you mean TOWLINE_SERVER__LISTEN?"),
        ("TOWLINE_HEARTBEAT", "did you mean TOWLINE_HEARTBEAT__INTERVAL?"),
        ("TOWLINE_LOG", "did you mean TOWLINE_LOG__LEVEL?"),
        ("TOWLINE_CONFIG", "did you mean the flag --config?"),
        ("TOWLINE_PROFILE", "did you mean the flag --profile?"),
        ("TOWLINE_IMAGE", "no setting has a name like it"),
        ("TOWLINE_NOFILE", "no setting has a name like it"),
        ("TOWLINE_", "no setting has a name like it"),
    ] {
        let (effective, warnings) = ignoring(&[(name, "9000")]);
        assert_eq!(effective, Effective::default());
        let warning = format!("unknown environment variable {name} is ignored: {advice}");
        assert_eq!(warnings, [warning]);
    }
}

#[test]
fn an_empty_or_garbled_variable_is_an_error() {
    assert_eq!(
        from_environment(&[("TOWLINE_WORKLOAD__KIND", "")]).unwrap_err(),
        ["workload.kind = \"\" (environment TOWLINE_WORKLOAD__KIND) is empty: expected echo or \
          sha256"]
    );
    let mut sources = Sources::default();
    sources.environment([("TOWLINE_LOG__LEVEL".into(), OsString::from_vec(vec![b'i', 0xff]))]);
    assert_eq!(
        loaded(&sources).unwrap_err(),
        ["log.level = \"i\u{fffd}\" (environment TOWLINE_LOG__LEVEL) is not UTF-8: expected \
          error, warn, info, debug or trace"]
    );
}

#[test]
fn of_several_flags_for_a_key_the_last_wins() {
    let mut sources = Sources::default();
    sources.flag(key("limits.connections"), "5");
    sources.flag(key("limits.connections"), "6");
    let effective = loaded(&sources).unwrap();
    assert_eq!(effective.settings.limits.connections.unwrap().get(), 6);
}
