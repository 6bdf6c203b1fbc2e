//! `GET /connections` of a server of several processes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;

use rustix::process::Signal;
use serde_json::Value;
use towline_test_support::{ServerProcess, signal, stop, wait_until};

const FLAGS: [&str; 6] = ["--processes", "2", "--threads", "1", "--write-timeout", "1h"];

fn list(server: &ServerProcess, query: &str) -> Value {
    serde_json::from_str(&server.get(&format!("/connections{query}"))).unwrap()
}

#[test]
fn connections_of_all_processes_are_one_list() {
    let server = ServerProcess::start(&[], &FLAGS);
    // More than one message has rows for.
    let clients = server.connect_many(1700);
    let listing = list(&server, "?limit=1000&sort=age");
    assert_eq!((&listing["open"], &listing["partial"]), (&clients.len().into(), &false.into()));
    let rows = listing["connections"].as_array().unwrap();
    let of = |field: &str| -> BTreeSet<&str> {
        rows.iter().map(|row| row[field].as_str().unwrap()).collect()
    };
    assert_eq!((of("id").len(), of("peer").len()), (1000, 1000));
    assert_eq!(of("worker"), BTreeSet::from(["0", "1"]));
    let mut stuck = server.connect();
    stuck.send_until_stuck();
    wait_until("the cause is known", || list(&server, "?match=cause%3Dpeer")["matched"] == 1);
    let first = list(&server, "?limit=1");
    assert_eq!(first["connections"][0]["peer"], stuck.local_address().to_string());
}

/// Each process ranks its own connections.
#[test]
fn the_first_of_all_processes_are_the_first_and_the_others_are_counted() {
    let server = ServerProcess::start(&[], &FLAGS);
    let mut clients = server.connect_many(12);
    for (lines, client) in clients.iter_mut().enumerate() {
        (0..lines).for_each(|_| client.ask("a\n", "a\n"));
    }
    let listing = list(&server, "?sort=lines&limit=5&match=lines%3E4");
    let rows = listing["connections"].as_array().unwrap();
    let lines: Vec<_> = rows.iter().map(|row| row["lines"].as_u64().unwrap()).collect();
    assert_eq!(lines, [12, 11, 10, 9, 8]);
    assert!(rows.iter().all(|row| row["rtt_seconds"].is_number()), "{listing}");
    assert_eq!((&listing["open"], &listing["matched"]), (&12.into(), &8.into()));
}

#[test]
fn a_list_without_the_connections_of_a_stopped_process_is_partial() {
    let server = ServerProcess::start(&[], &FLAGS);
    let clients = server.connect_many(10);
    let stopped = server.workers()[0];
    stop(stopped);
    let listing = list(&server, "");
    assert_eq!(
        (&listing["open"], &listing["partial"]),
        (&(clients.len() / 2).into(), &true.into())
    );
    signal(stopped, Signal::CONT);
    wait_until("the list is whole", || {
        let listing = list(&server, "");
        listing["partial"] == false && listing["open"] == clients.len()
    });
}
