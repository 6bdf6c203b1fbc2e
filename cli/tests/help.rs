//! Help texts: complete, short where they are read first, and with examples that work.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use towline_config::Key;
use towline_test_support::{Run, towline, towline_in};

/// The help at a width of 80 columns.
fn screen(arguments: &[&str]) -> String {
    let Run { code, stdout, stderr } = towline_in(&[("COLUMNS", "80")], arguments);
    assert_eq!((code, stderr.as_str()), (0, ""));
    stdout
}

/// The help with one space between words, so that line breaks do not matter.
fn help(arguments: &[&str]) -> String {
    screen(arguments).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn help_of_serve_has_every_flag_with_meaning_values_default_key_and_variable() {
    let long = help(&["serve", "--help"]);
    let short = help(&["serve", "-h"]);
    for key in Key::all().iter().filter(|key| key.flag.is_some()) {
        let flag = format!("{} <{}>", key.flag.unwrap(), key.placeholder());
        assert!(long.contains(&flag) && short.contains(&flag), "{flag}");
        assert!(long.contains(key.doc), "{key:?}");
        assert!(long.contains(&format!("Accepts {}.", key.expected())), "{key:?}");
        let default = format!("[default: {}]", key.default());
        assert!(long.contains(&default) && short.contains(&default), "{key:?}");
        assert!(long.contains(&format!("[key: {}]", key.name)), "{key:?}");
        assert!(long.contains(&format!("[environment: {}]", key.variable())), "{key:?}");
    }
    assert!(long.contains("--profile <NAME>") && long.contains("--config <FILE>"));
}

#[test]
fn the_first_screen_has_commands_examples_exit_codes_and_signals_and_fits_a_terminal() {
    let text = screen(&["--help"]);
    for word in ["serve", "config", "health", "Examples:", "Exit codes:", "SIGTERM", "SIGHUP"] {
        assert!(text.contains(word), "{word}");
    }
    assert_eq!(screen(&["help"]), text);
    assert_eq!(screen(&["-h"]), text);
    assert!(text.lines().count() <= 40, "{text}");
    assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    assert!(!text.contains("--max-line"));
}

#[test]
fn help_of_serve_has_a_heading_for_each_section_and_all_flags() {
    let text = screen(&["help", "serve"]);
    let at = |heading: &str| {
        let line = format!("\n{heading}:\n");
        text.find(&line).unwrap_or_else(|| panic!("no heading {heading} in {text}"))
    };
    let headings = [
        "Sources of settings",
        "Server",
        "Workload",
        "Flush",
        "Limits",
        "Timeouts",
        "Heartbeat",
        "Log",
    ];
    assert!(headings.map(at).is_sorted());
    for key in Key::all().iter().filter(|key| key.flag.is_some()) {
        assert!(text.contains(&format!("\n      {} <", key.flag.unwrap())), "{key:?}");
    }
}

#[test]
fn help_config_explains_precedence() {
    let text = help(&["help", "config"]);
    assert!(text.contains("ignored with a warning"));
    let layers = ["1. built-in", "2. --profile", "3. --config FILE", "4. environment", "5. flags"];
    let places: Vec<_> = layers.iter().map(|layer| text.find(layer).unwrap()).collect();
    assert!(places.is_sorted());
    assert!(text.contains("--check"));
}

#[test]
fn health_has_only_the_flags_from_which_the_admin_address_follows() {
    let text = help(&["health", "--help"]);
    for flag in ["--ready", "--admin", "--config", "--profile"] {
        assert!(text.contains(flag), "{flag}");
    }
    assert!(!text.contains("--max-line"));
}

#[test]
fn every_example_of_serve_is_a_valid_command_line() {
    for example in towline(&["--help"]).stdout.lines() {
        let Some(command) = example.strip_prefix("  towline serve ") else { continue };
        let arguments: Vec<_> =
            ["config", "--check"].into_iter().chain(command.split(' ')).collect();
        assert_eq!(towline(&arguments).code, 0, "{example}");
    }
}

#[test]
fn version_is_one_line() {
    assert_eq!(help(&["--version"]), concat!("towline ", env!("CARGO_PKG_VERSION")));
}
