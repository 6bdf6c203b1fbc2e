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

/// A full server waited for a slot for each connection in the kernel's queue, at the pace of the
/// connections that ended. At the drain's deadline the listening socket closed, which reset most of the
/// queue, and the exit code was 0.
#[track_caller]
fn ends_its_accept_queue_in_order(arguments: &[&str]) {
    let full = ["--max-connections", "2", "--threads", "1", "--drain-deadline", "10s"];
    let server = ServerProcess::start(&[], &[&full, arguments].concat());
    let mut served = server.connect_many(2);
    // More than may linger at a time, none of which closes.
    let mut waiting: Vec<_> = (0..400).map(|_| server.connect()).collect();
    for client in &mut waiting {
        client.send("waits\n");
    }
    server.metric_when("towline_accept_queue_length", |length| length == 400.0);
    server.signal(Signal::TERM);
    for client in waiting.iter_mut().chain(&mut served) {
        client.expect_end("");
    }
    drop((waiting, served));
    let run = server.end();
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("connections=400"), "{}", run.stderr);
}

#[test]
fn a_full_server_that_drains_resets_no_connection_in_the_accept_queue() {
    ends_its_accept_queue_in_order(&[]);
}

#[test]
fn several_full_processes_that_drain_reset_no_connection_in_the_accept_queue() {
    ends_its_accept_queue_in_order(&["--processes", "2"]);
}
