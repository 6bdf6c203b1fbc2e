//! Help texts: complete, and teaching.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use support::{Run, towline};
use towline_config::{Key, Support};

fn help(arguments: &[&str]) -> String {
    let Run { code, stdout, stderr } = towline(arguments);
    assert_eq!((code, stderr.as_str()), (0, ""));
    // However wide the terminal: one blank between words.
    stdout.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn serve_tells_every_flag_with_meaning_values_default_key_and_variable() {
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
        if let Support::Missing(reason) = key.support {
            assert!(long.contains(&format!("Refused unless {}: {reason}.", key.default())));
        }
    }
    assert!(long.contains("--profile <NAME>") && long.contains("--config <FILE>"));
}

#[test]
fn the_first_screen_tells_commands_examples_exit_codes_and_signals() {
    let long = help(&["--help"]);
    for word in ["serve", "config", "health", "Examples:", "Exit codes:", "SIGTERM"] {
        assert!(long.contains(word), "{word}");
    }
    assert_eq!(help(&["help"]), long);
    let lines = towline(&["--help"]).stdout.lines().count();
    assert!(lines <= 60, "{lines} lines bury the commands");
    assert!(!help(&["-h"]).contains("--max-line"));
}

#[test]
fn help_config_explains_precedence() {
    let text = help(&["help", "config"]);
    let layers = ["1. built-in", "2. --profile", "3. --config FILE", "4. environment", "5. flags"];
    let places: Vec<_> = layers.iter().map(|layer| text.find(layer).unwrap()).collect();
    assert!(places.is_sorted());
    assert!(text.contains("--check"));
}

#[test]
fn health_takes_only_what_tells_where_the_admin_port_is() {
    let text = help(&["health", "--help"]);
    for flag in ["--ready", "--admin", "--config", "--profile"] {
        assert!(text.contains(flag), "{flag}");
    }
    assert!(!text.contains("--max-line"));
}

#[test]
fn every_example_is_a_valid_command_line() {
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
