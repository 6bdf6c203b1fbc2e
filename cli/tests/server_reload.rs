//! SIGHUP: the configuration is loaded again and applied while the server runs.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::Read as _;

use rustix::process::Signal;
use towline_test_support::{ServerProcess, TempFile, wait_until};

/// What a SHA-256 server answers to the empty line.
const DIGEST_OF_NOTHING: &str =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n";

fn start(file: &TempFile, arguments: &[&str]) -> ServerProcess {
    let arguments = [&["--threads", "1", "--config", file.name()], arguments].concat();
    ServerProcess::start(&[], &arguments)
}

/// Sends SIGHUP and waits until the server has counted the reload.
#[track_caller]
fn hang_up(server: &ServerProcess, result: &str) {
    let series = format!("towline_config_reloads_total{{result=\"{result}\"}}");
    let before = server.metric(&series);
    server.signal(Signal::HUP);
    server.metric_when(&series, |count| count > before);
}

#[test]
fn fault_29_sighup_changes_workload_and_limits_of_open_connections() {
    let file = TempFile::new("[workload]\nkind = \"echo\"\n");
    let server = start(&file, &["--log-level", "error"]);
    let mut stream = server.connect();
    stream.ask("\n", "\n");
    file.write("[workload]\nkind = \"sha256\"\n[limits]\nconnections = 77\nconcurrency = 5\n");
    hang_up(&server, "ok");
    stream.ask("\n", DIGEST_OF_NOTHING);
    let metrics = server.get("/metrics");
    let config_info: Vec<_> =
        metrics.lines().filter(|line| line.starts_with("towline_config_info{")).collect();
    assert_eq!(
        config_info,
        ["towline_config_info{workload=\"sha256\",framing=\"batch\",flush=\"auto\"} 1"]
    );
    assert_eq!(server.metric("towline_connections_limit"), 77.0);
    assert_eq!(server.metric("towline_concurrency_limit"), 5.0);
    let config = server.get("/config");
    let expected =
        format!(r#""workload.kind":{{"origin":"file {}:2","value":"sha256"}}"#, file.name());
    assert!(config.contains(&expected), "{config}");

    // A key that is gone from the file has its default again.
    file.write("");
    hang_up(&server, "ok");
    stream.ask("\n", "\n");
    assert_eq!(server.metric("towline_concurrency_limit"), 4096.0);
    drop(stream);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn fault_29_a_bad_file_keeps_the_old_configuration_and_says_what_is_wrong() {
    let file = TempFile::new("[limits]\nconcurrency = 7\n");
    let server = start(&file, &["--log-level", "error"]);
    assert_eq!(server.metric("towline_config_reloads_total{result=\"ok\"}"), 0.0);
    file.write("[limits]\nconcurrency = 8\nline_bytes = \"many\"\n[timeouts]\nilde = \"1s\"\n");
    hang_up(&server, "error");
    assert_eq!(server.metric("towline_config_last_reload_successful"), 0.0);
    assert_eq!(server.metric("towline_concurrency_limit"), 7.0);
    file.remove();
    hang_up(&server, "error");
    file.write("[limits]\nconcurrency = 9\nconnections = 4_000_000_000\n");
    hang_up(&server, "error");
    assert_eq!(server.metric("towline_concurrency_limit"), 7.0);
    file.write("[limits]\nconcurrency = 9\n");
    hang_up(&server, "ok");
    assert_eq!(server.metric("towline_config_last_reload_successful"), 1.0);
    assert_eq!(server.metric("towline_concurrency_limit"), 9.0);
    server.signal(Signal::TERM);
    let run = server.end();
    let errors = [
        "line_bytes = \"many\"",
        "unknown key timeouts.ilde",
        "cannot read the configuration file",
        "limits.connections = 4000000000 is more than this host allows",
    ];
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines.len(), errors.len(), "{}", run.stderr);
    for (line, error) in lines.iter().zip(errors) {
        assert!(line.contains("ERROR") && line.contains("configuration not reloaded: "), "{line}");
        assert!(line.contains(error), "{line}");
    }
}

#[test]
fn fault_29_each_change_that_needs_a_restart_is_logged() {
    let file = TempFile::new("");
    let server = start(&file, &["--log-level", "warn"]);
    file.write("[server]\nbacklog = 9\n[socket]\nnodelay = false\n[limits]\nconcurrency = 3\n");
    hang_up(&server, "ok");
    assert_eq!(server.metric("towline_concurrency_limit"), 3.0);
    server.signal(Signal::TERM);
    let stderr = server.end().stderr;
    for line in [
        "server.backlog = 9 takes effect on restart: it is still 65535",
        "socket.nodelay = false takes effect on restart: it is still true",
    ] {
        assert_eq!(stderr.matches(line).count(), 1, "{stderr}");
    }
    assert_eq!(stderr.matches("takes effect on restart").count(), 2, "{stderr}");
}

#[test]
fn fault_29_the_level_of_the_log_changes_and_a_flag_still_overrides_the_file() {
    let file = TempFile::new("[log]\nlevel = \"error\"\n[limits]\nconcurrency = 3\n");
    let server = start(&file, &["--concurrency", "6"]);
    file.write("[log]\nlevel = \"info\"\n[limits]\nconcurrency = 5\n");
    hang_up(&server, "ok");
    assert_eq!(server.metric("towline_concurrency_limit"), 6.0);
    server.signal(Signal::TERM);
    let stderr = server.end().stderr;
    assert!(stderr.contains("configuration reloaded") && stderr.contains("drained"), "{stderr}");
    assert!(!stderr.contains("serving"), "it was logged before the level changed: {stderr}");
}

#[test]
fn fault_28_many_sighups_lose_no_line_and_end_with_the_last_configuration() {
    let file = TempFile::new("");
    let server = start(&file, &["--log-level", "error"]);
    let mut stream = server.connect();
    for round in 1..=50 {
        file.write(format!("[limits]\nconcurrency = {round}\n"));
        server.signal(Signal::HUP);
        stream.ask("on\n", "on\n");
    }
    server.metric_when("towline_concurrency_limit", |limit| limit == 50.0);
    drop(stream);
    server.signal(Signal::INT);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

/// A configuration file on a file system that does not answer.
#[test]
fn fault_29_a_configuration_that_cannot_be_read_to_its_end_does_not_delay_the_drain() {
    let file = TempFile::new("");
    let server = start(&file, &["--log-level", "error"]);
    file.remove();
    let fifo = std::process::Command::new("mkfifo").arg(file.name()).status().unwrap();
    assert!(fifo.success());
    server.signal(Signal::HUP);
    let mut stream = server.connect();
    stream.ask("on\n", "on\n");
    drop(stream);
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 0);
}

#[test]
fn fault_28_sighup_during_a_drain_changes_nothing() {
    let file = TempFile::new("");
    let server = start(&file, &["--log-level", "warn", "--drain-deadline", "1h"]);
    let mut stream = server.connect();
    stream.ask("on\n", "on\n");
    server.signal(Signal::TERM);
    wait_until("the drain", || server.get("/readyz") == "draining\n");
    file.write("[limits]\nconcurrency = 3\n");
    server.signal(Signal::HUP);
    assert_eq!(server.metric("towline_config_reloads_total{result=\"ok\"}"), 0.0);
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"");
    // The connection lingers until the client closes, so the signal is handled before the exit.
    let run = server.end();
    drop(stream);
    assert_eq!(run.code, 0);
    assert!(run.stderr.contains("SIGHUP ignored: the server is draining"), "{run:?}");
}
