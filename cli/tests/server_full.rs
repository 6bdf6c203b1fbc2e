//! A server at `limits.connections`: it says so in its log once, and `/readyz` fails if told to.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{net::TcpStream, thread, time::Duration};

use rustix::process::Signal;
use server::{Server, exchange};

/// Waits until `/readyz` answers `expected`.
#[track_caller]
fn ready_when(server: &Server, expected: &str) {
    for _ in 0..2_000 {
        if server.get("/readyz") == expected {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("/readyz never answered {expected:?}");
}

#[track_caller]
fn reaches_and_leaves_its_limit_once(arguments: &[&str]) {
    let full = ["--max-connections", "2", "--threads", "1", "--ready-when-full", "off"];
    let server = Server::start(&[], &[&full, arguments].concat());
    let mut clients: Vec<TcpStream> = (0..2).map(|_| server.connect()).collect();
    for client in &mut clients {
        exchange(client, "a\n", "a\n");
    }
    ready_when(&server, "full\n");
    clients.pop();
    ready_when(&server, "accepting\n");
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
