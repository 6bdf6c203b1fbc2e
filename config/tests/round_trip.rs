//! The text of every key: it reads back as printed, and no text makes the parser panic.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use proptest::{prelude::*, sample::select};
use support::{from_file, is_bound_to_others, valid_text};
use towline_config::{Effective, Key, Settings};

fn any_key() -> impl Strategy<Value = &'static Key> {
    select(Key::all().iter().collect::<Vec<_>>())
}

fn any_key_with_valid_text() -> impl Strategy<Value = (&'static Key, String)> {
    any_key().prop_flat_map(|key| valid_text(key).prop_map(move |text| (key, text)))
}

/// Each key set to something valid.
fn any_settings() -> impl Strategy<Value = Effective> {
    Key::all().iter().map(valid_text).collect::<Vec<_>>().prop_map(|texts| {
        let mut effective = Effective::default();
        for (key, text) in Key::all().iter().zip(texts).filter(|(key, _)| !is_bound_to_others(key))
        {
            key.set(&mut effective.settings, &text).unwrap();
        }
        effective
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_printed_value_reads_back_as_itself((key, text) in any_key_with_valid_text()) {
        let mut settings = Settings::default();
        prop_assert_eq!(key.set(&mut settings, &text), Ok(()), "{:?} {:?}", key, &text);

        let printed = key.value(&settings).to_string();
        let mut again = Settings::default();
        prop_assert_eq!(key.set(&mut again, &printed), Ok(()), "{:?} {:?}", key, &printed);
        prop_assert_eq!(&settings, &again);
        prop_assert_eq!(key.value(&again).to_string(), printed);
    }

    #[test]
    fn setting_one_key_touches_no_other((key, text) in any_key_with_valid_text()) {
        let mut settings = Settings::default();
        key.set(&mut settings, &text).unwrap();
        for other in Key::all().iter().filter(|other| other.name != key.name) {
            prop_assert_eq!(other.value(&settings), other.default(), "{:?}", other);
        }
    }

    #[test]
    fn a_refused_text_changes_nothing_and_is_explained_on_one_line(
        key in any_key(),
        text in prop_oneof!["\\PC*", "[-0-9_.:a-zA-Z/\\[\\] ]{0,40}", ".*"],
    ) {
        let mut settings = Settings::default();
        if let Err(problem) = key.set(&mut settings, &text) {
            prop_assert_eq!(settings, Settings::default());
            let problem = problem.to_string();
            prop_assert!(!problem.is_empty() && !problem.contains(char::is_control), "{:?}", problem);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_towline_config_prints_is_a_file_with_the_same_settings(effective in any_settings()) {
        let read = from_file(effective.to_toml());
        prop_assert_eq!(read.map(|read| read.settings), Ok(effective.settings));
    }

    #[test]
    fn no_file_makes_the_reader_panic_or_explain_on_two_lines(
        text in prop_oneof![
            ".*",
            "(\\[(server|limits|x)\\]\n|(listen|line_bytes|x|\"a\\\\nb\") = (1|true|\"5s\"|\\[1\\]|1\\.5|\\{\\}|\\{x=1\\})\n){0,6}",
        ],
    ) {
        for error in from_file(text).err().into_iter().flatten() {
            prop_assert!(!error.contains(char::is_control), "{:?}", error);
            prop_assert!(error.len() < 2_000, "{:?}", error);
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = from_file(bytes);
    }
}
