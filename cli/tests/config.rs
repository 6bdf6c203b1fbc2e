//! `towline config`: the effective configuration, and the source of each value.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::Read as _,
    process::{Command, Stdio},
};
use towline_test_support::{TempFile, towline, towline_in};

/// The line that sets `field`, without the blanks that align its comment.
fn line(toml: &str, field: &str) -> String {
    let line = toml.lines().find(|line| line.starts_with(&format!("{field} = "))).unwrap();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn each_layer_overrides_the_one_before() {
    let file =
        TempFile::new("limits.connections = 3\nlimits.line_bytes = \"3KiB\"\nserver.backlog = 3\n");
    let run = towline_in(
        &[("TOWLINE_LIMITS__CONNECTIONS", "4"), ("TOWLINE_LIMITS__LINE_BYTES", "4KiB")],
        &["config", "--profile", "buffered-10k", "--config", file.name(), "--max-connections", "5"],
    );
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let name = file.name();
    for (field, expected) in [
        ("connections", "connections = 5 # flag --max-connections"),
        ("line_bytes", "line_bytes = \"4KiB\" # environment TOWLINE_LIMITS__LINE_BYTES"),
        ("backlog", &format!("backlog = 3 # file {name}:3")),
        ("policy", "policy = \"auto\" # profile buffered-10k"),
        ("nodelay", "nodelay = true # built-in"),
    ] {
        assert_eq!(line(&run.stdout, field), expected);
    }
}

#[test]
fn auto_stands_beside_what_it_comes_to_on_this_host() {
    let run = towline(&["config", "--processes", "auto", "--max-connections", "100"]);
    assert_eq!(line(&run.stdout, "processes"), "processes = \"auto\" # flag --processes; 1 here");

    let variables = [("TOWLINE_SOCKET__RECEIVE_BUFFER", "auto")];
    let run = towline_in(&variables, &["config", "--threads", "3"]);
    assert_eq!(line(&run.stdout, "threads"), "threads = 3 # flag --threads");
    for field in ["connections", "buffer_bytes", "receive_buffer"] {
        let line = line(&run.stdout, field);
        assert!(line.contains("; ") && line.ends_with(" here"), "{line}");
    }

    // A server with these settings would not start.
    let too_many = towline(&["config", "--max-connections", "4000M"]);
    assert_eq!(line(&too_many.stdout, "threads"), "threads = \"auto\" # built-in");
}

#[test]
fn the_output_is_a_file_that_gives_the_same() {
    let first = towline(&["config", "--profile", "sha256-30k", "--listen", "unix:/run/a b.sock"]);
    let file = TempFile::new(&first.stdout);
    let second = towline(&["config", "--config", file.name()]);
    let values = |toml: &str| {
        let lines = toml.lines().map(|line| line.split("  # ").next().unwrap().trim_end());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(values(&first.stdout), values(&second.stdout));
}

#[test]
fn the_reference_file_is_valid() {
    let reference = concat!(env!("CARGO_MANIFEST_DIR"), "/../config/towline.toml");
    assert_eq!(towline(&["config", "--check", "--config", reference]).code, 0);
}

#[test]
fn check_is_silent_when_all_is_well() {
    let run = towline(&["config", "--check", "--profile", "baseline-10k"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}

#[test]
fn an_unknown_variable_without_a_section_is_ignored_with_a_warning() {
    let variables = [("TOWLINE_WORKLOAD", "sha256"), ("TOWLINE_PORT", "tcp://10.0.0.7:9000")];
    let warning = "towline: warning: unknown environment variable TOWLINE_WORKLOAD is ignored: did \
                   you mean TOWLINE_WORKLOAD__KIND?\n";
    let run = towline_in(&variables, &["config"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, warning));
    assert_eq!(line(&run.stdout, "kind"), "kind = \"echo\" # built-in");

    let run = towline_in(&variables, &["config", "--check"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", warning));
}

#[test]
fn warnings_about_variables_are_bounded() {
    let names: Vec<_> = (0..1_000).map(|n| format!("TOWLINE_X{n}")).collect();
    let variables: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    let warnings = towline_in(&variables, &["config", "--check"]).stderr;
    assert_eq!(warnings.lines().count(), 11);
    assert!(warnings.ends_with("ignored: 990 more\n"), "{warnings}");
}

#[test]
fn a_closed_output_is_no_failure() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_towline"))
        .arg("config")
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}
