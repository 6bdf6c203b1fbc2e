//! The limit of connections, and on which thread a connection lands.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{num::NonZeroU32, time::Duration};

use support::{Client, echo};
use towline_config::Admission;

const MOMENT: Duration = Duration::from_millis(100);
const TOO_MANY: &str = "ERR too many connections\n";

fn two_places(settings: &mut towline::Settings) {
    settings.limits.connections = NonZeroU32::new(2);
}

fn two_places_or_refusal(settings: &mut towline::Settings) {
    two_places(settings);
    settings.limits.admission = Admission::Reject;
}

#[test]
fn the_cap_plus_one_waits_in_the_backlog_and_is_served_when_a_place_frees() {
    let server = echo(two_places);
    let mut served: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut served {
        client.ask("in\n", "in\n");
    }
    let mut waiting = server.connect();
    waiting.send("patient\n");
    waiting.expect_silence(MOMENT);
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_connections_active"), 2.0);
    assert_eq!(metrics.get("towline_connections_limit"), 2.0);
    assert_eq!(metrics.get("towline_accept_queue_length"), 1.0);

    drop(served.pop());
    waiting.expect("patient\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_connections_rejected_total{reason=\"max_connections\"}"), 0.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), 3.0);
}

#[test]
fn many_more_than_the_cap_are_all_served_in_their_turn() {
    let server = echo(two_places);
    let clients: Vec<Client> = (0..200)
        .map(|_| {
            let mut client = server.connect();
            client.send("mine\n");
            client.end_of_input();
            client
        })
        .collect();
    for mut client in clients {
        client.expect_end("mine\n");
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("peer_eof"), 200.0);
}

#[test]
fn a_refused_connection_is_told_why_even_if_it_has_sent_data_already() {
    let server = echo(two_places_or_refusal);
    let mut served: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut served {
        client.ask("in\n", "in\n");
    }
    for sent in [0, 5, 100_000] {
        let mut refused = server.connect();
        // Unread input would turn the close into a reset that overtakes the line.
        refused.send(vec![b'x'; sent]);
        refused.expect_end(TOO_MANY);
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_connections_rejected_total{reason=\"max_connections\"}"), 3.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), 2.0);
    metrics.assert_books_balance();

    drop(served.pop());
    server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    server.connect().ask("a place\n", "a place\n");
}

/// The place that the acceptor holds ready for the next connection counted as a connection: an idle
/// server had one, and its busiest thread one more than it served.
#[test]
fn a_server_without_connections_counts_none() {
    let server = echo(|_| ());
    assert_eq!(server.running().connections(), 0);
    assert_eq!(server.metrics().sum("towline_worker_connections"), 0.0);
    let mut client = server.connect();
    client.ask("one\n", "one\n");
    assert_eq!(server.running().connections(), 1);
    assert_eq!(server.metrics().sum("towline_worker_connections"), 1.0);
}

/// The thread was chosen when the acceptor began to wait, so a connection could land on one that
/// had filled up meanwhile.
#[test]
fn a_connection_goes_to_the_thread_that_has_the_fewest() {
    const THREADS: usize = 4;
    let server = echo(|settings| settings.server.threads = NonZeroU32::new(THREADS as u32));
    let worker = |at: usize| format!("towline_worker_connections{{worker=\"{at}\"}}");
    let loads = || {
        let metrics = server.metrics();
        (0..THREADS).map(|at| metrics.get(&worker(at))).collect::<Vec<_>>()
    };
    let mut clients = Vec::new();
    for _ in 0..100 {
        let mut client = server.connect();
        client.ask("here\n", "here\n");
        clients.push(client);
    }
    assert_eq!(loads(), [25.0; THREADS]);

    // Connections go round, so every fourth is on the same thread. Empty one thread by half.
    let mut at = 0;
    clients.retain(|_| {
        at += 1;
        at % 8 != 1
    });
    server.metrics_when(|metrics| metrics.sum("towline_worker_connections") == 87.0);
    let emptied = loads().iter().position(|load| *load == 12.0).unwrap();
    for _ in 0..13 {
        let mut client = server.connect();
        client.ask("here\n", "here\n");
        clients.push(client);
    }
    assert_eq!(loads(), [25.0; THREADS], "thread {emptied} was not filled up again");
}
