//! A server at `limits.connections`: it says so in its log once, and `/readyz` fails if told to.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use rustix::process::Signal;
use towline_test_support::{ServerProcess, wait_until};

#[track_caller]
fn reaches_and_leaves_its_limit_once(arguments: &[&str]) {
    let full = ["--max-connections", "2", "--threads", "1", "--ready-when-full", "off"];
    let server = ServerProcess::start(&[], &[&full, arguments].concat());
    let mut clients = server.connect_many(2);
    wait_until("full", || server.get("/readyz") == "full\n");
    clients.pop();
    wait_until("not full", || server.get("/readyz") == "accepting\n");
    drop(clients);
    server.signal(Signal::TERM);
    let log = server.end().stderr;
    let lines = |text: &str| log.lines().filter(|line| line.contains(text)).count();
    assert_eq!(lines("WARN"), 1, "{log}");
    assert_eq!(lines("connection limit reached: new clients wait"), 1, "{log}");
    assert_eq!(lines("connection limit left"), 1, "{log}");
    assert!(log.contains("connections=2 limit=2"), "{log}");
}

#[test]
fn a_full_server_says_so_once_and_is_not_ready_if_told_to() {
    reaches_and_leaves_its_limit_once(&[]);
}

#[test]
fn several_processes_are_full_when_all_of_them_together_are() {
    reaches_and_leaves_its_limit_once(&["--processes", "2"]);
}
