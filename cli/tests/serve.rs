//! `towline serve` as a process: what it prints, how it ends, and with which code.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::net::TcpListener;

use rustix::process::Signal;
use towline_test_support::{ServerProcess, TempFile, refusal, towline};

#[test]
fn flags_work_with_and_without_the_word_serve() {
    for word in [&["serve"][..], &[]] {
        let server = ServerProcess::start(&[], &[word, &["--threads", "1"]].concat());
        server.connect().ask("a\nbb\n", "a\nbb\n");
        server.signal(Signal::TERM);
        assert_eq!(server.end().code, 0);
    }
}

/// A script may send a signal as soon as it reads the announcement. If the handlers were installed
/// later, the signal would kill the server with all its connections.
#[test]
fn a_signal_right_after_the_announcement_drains() {
    for _ in 0..10 {
        let server = ServerProcess::start(&[], &["--threads", "1"]);
        server.signal(Signal::TERM);
        assert_eq!(server.end().code, 0);
    }
}

#[test]
fn only_the_announcement_goes_to_standard_output_and_the_log_to_standard_error() {
    let server = ServerProcess::start(&[], &["--log-format", "json"]);
    server.connect().ask("a\n", "a\n");
    server.signal(Signal::INT);
    let run = server.end();
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    assert!(!run.stderr.is_empty());
    for line in run.stderr.lines() {
        let entry: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(entry["level"].is_string() && entry["message"].is_string(), "{line}");
    }
}

#[test]
fn a_log_without_a_terminal_has_no_colours_and_keeps_to_its_level() {
    let server = ServerProcess::start(&[], &[]);
    server.signal(Signal::TERM);
    let log = server.end().stderr;
    assert!(!log.is_empty() && !log.contains('\u{1b}'), "{log:?}");

    let server = ServerProcess::start(&[("TOWLINE_LOG__LEVEL", "error")], &[]);
    server.signal(Signal::TERM);
    assert_eq!(server.end().stderr, "");
}

#[test]
fn the_workload_comes_from_the_environment_too() {
    let server = ServerProcess::start(&[("TOWLINE_WORKLOAD__KIND", "sha256")], &[]);
    server
        .connect()
        .ask("abc\n", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
}

#[test]
fn health_finds_the_server_alive_and_ready() {
    let server = ServerProcess::start(&[], &[]);
    let admin = server.admin().to_string();
    for question in [&["health"][..], &["health", "--ready"]] {
        assert_eq!(towline(&[question, &["--admin", &admin]].concat()).code, 0);
    }
}

#[test]
fn the_admin_port_shows_the_configuration_and_its_origins() {
    let server = ServerProcess::start(&[], &["--profile", "buffered-10k"]);
    let body: serde_json::Value = serde_json::from_str(&server.get("/config")).unwrap();
    assert_eq!(
        body["flush.policy"],
        serde_json::json!({ "value": "auto", "origin": "profile buffered-10k" })
    );
}

#[test]
fn a_drain_that_has_to_cut_a_connection_ends_with_1_and_says_so() {
    let server = ServerProcess::start(&[], &["--drain-deadline", "300ms", "--log-level", "error"]);
    let mut client = server.connect();
    client.send_until_stuck();

    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.stderr, "towline: 1 connection was cut before it was finished\n");
}

#[test]
fn what_the_host_does_not_allow_is_refused_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let sentence =
        refusal(&["serve", "--admin", "off", "--log-level", "error", "--listen", &address]);
    assert!(sentence.contains(&address), "{sentence}");

    let sentence = refusal(&["serve", "--log-level", "error", "--max-connections", "4000M"]);
    assert!(sentence.starts_with("limits.connections = 4000000000 "), "{sentence}");
}

#[test]
fn an_ignored_variable_is_named_in_the_log_at_start() {
    let server = ServerProcess::start(&[("TOWLINE_WORKLOD", "sha256")], &[]);
    server.connect().ask("a\n", "a\n");
    server.signal(Signal::TERM);
    let log = server.end().stderr;
    assert!(log.contains("TOWLINE_WORKLOD is ignored: did you mean TOWLINE_WORKLOAD__KIND?"));
}

#[test]
fn the_log_begins_with_version_process_and_sources_and_then_the_words_of_the_settings() {
    let file = TempFile::new("[flush]\npolicy = \"every:7\"\n");
    let flags = ["--profile", "sha256-30k", "--max-connections", "5", "--config", file.name()];
    let server = ServerProcess::start(&[], &flags);
    let pid = server.process().id();
    server.signal(Signal::TERM);
    let log = server.end().stderr;
    let line = |message: &str| {
        let message = format!(": {message} ");
        log.lines().find(|line| line.contains(&message)).unwrap_or_else(|| panic!("{log}"))
    };
    let starting = format!(
        "starting version={} pid={pid} profile=sha256-30k config={}",
        env!("CARGO_PKG_VERSION"),
        file.name()
    );
    assert!(line("starting").ends_with(&starting), "{log}");
    let words = "workload=sha256 framing=batch flush=every:7";
    assert!(line("serving").ends_with(words), "{log}");
}
