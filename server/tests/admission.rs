//! Accept limits (connections, per address, per second), and the shard that a connection is assigned to.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{net::Ipv4Addr, num::NonZeroU32, time::Duration};

use support::echo;
use tokio::time::Instant;
use towline_config::Admission;
use towline_test_support::Client;

const MOMENT: Duration = Duration::from_millis(100);
const TOO_MANY: &str = "ERR too many connections\n";

fn two_connections(settings: &mut towline::Settings) {
    settings.limits.connections = NonZeroU32::new(2);
}

fn two_connections_or_rejection(settings: &mut towline::Settings) {
    two_connections(settings);
    settings.limits.admission = Admission::Reject;
}

#[test]
fn a_connection_above_the_limit_waits_in_the_accept_queue_until_a_slot_is_freed() {
    let server = echo(two_connections);
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
fn many_more_connections_than_the_limit_are_all_served_in_turn() {
    let server = echo(two_connections);
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
fn a_rejected_client_reads_the_reason_even_if_it_has_sent_data_already() {
    let server = echo(two_connections_or_rejection);
    let mut served: Vec<Client> = (0..2).map(|_| server.connect()).collect();
    for client in &mut served {
        client.ask("in\n", "in\n");
    }
    for sent in [0, 5, 100_000] {
        let mut rejected = server.connect();
        // Unread input would turn the close into a reset that overtakes the line.
        rejected.send(vec![b'x'; sent]);
        rejected.expect_end(TOO_MANY);
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_connections_rejected_total{reason=\"max_connections\"}"), 3.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), 2.0);
    metrics.assert_connections_add_up();

    drop(served.pop());
    server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    server.connect().ask("a slot\n", "a slot\n");
}

/// The slot that the acceptor reserves for the next connection counted as a connection: an idle server
/// had one, and its busiest thread one more than it served.
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

/// The thread was chosen when the acceptor began to wait, so a connection could be assigned to one that
/// had become the busiest meanwhile.
#[test]
fn a_connection_is_assigned_to_the_thread_with_the_fewest() {
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

    // Connections are assigned in rotation, so every fourth is on the same thread. Close half of those
    // of one thread.
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

const TOO_MANY_FROM_ADDRESS: &str = "ERR too many connections from your address\n";
const PER_IP: &str = "towline_connections_rejected_total{reason=\"per_ip\"}";

fn two_from_each(settings: &mut towline::Settings) {
    settings.limits.connections_per_ip = NonZeroU32::new(2);
}

#[test]
fn fault_18_one_address_gets_no_more_than_its_limit_and_others_get_theirs() {
    let server = echo(two_from_each);
    let sources = [2, 3].map(|host| Ipv4Addr::new(127, 0, 0, host));
    let mut served = Vec::new();
    for source in sources {
        for _ in 0..2 {
            let mut client = server.connect_from(source);
            client.ask("in\n", "in\n");
            served.push(client);
        }
        for _ in 0..50 {
            server.connect_from(source).expect_end(TOO_MANY_FROM_ADDRESS);
        }
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get(PER_IP), 100.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), 4.0);
    for client in &mut served {
        client.ask("still\n", "still\n");
    }

    // However a connection ends, it is counted no longer.
    let [half, reset, whole, rest] = <[Client; 4]>::try_from(served).unwrap();
    half.end_of_input();
    reset.reset();
    drop(whole);
    server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    let again = [sources[0], sources[0], sources[1]];
    let served: Vec<Client> = again.map(|source| server.connect_from(source)).into();
    for mut client in served {
        client.ask("again\n", "again\n");
    }
    drop(rest);
}

/// A rejected connection must hold no slot, or an address at its limit would keep others out of a
/// server that has slots for them.
#[test]
fn fault_18_an_address_at_its_limit_takes_no_slot_from_others() {
    let server = echo(|settings| {
        two_from_each(settings);
        settings.limits.connections = NonZeroU32::new(3);
    });
    let source = Ipv4Addr::new(127, 0, 0, 2);
    let mut greedy: Vec<Client> = (0..2).map(|_| server.connect_from(source)).collect();
    for client in &mut greedy {
        client.ask("in\n", "in\n");
    }
    for _ in 0..20 {
        server.connect_from(source).expect_end(TOO_MANY_FROM_ADDRESS);
    }
    server.connect().ask("room\n", "room\n");
}

#[test]
fn connections_above_the_rate_wait_and_are_all_accepted() {
    const RATE: u32 = 20;
    let server = echo(|settings| settings.limits.accept_rate = NonZeroU32::new(RATE));
    let start = Instant::now();
    let clients: Vec<Client> = (0..RATE * 3 / 2).map(|_| server.connect()).collect();
    for mut client in clients {
        client.ask("in\n", "in\n");
    }
    // One second's tokens at once, then one every 50 ms. A lower bound: load only makes it longer.
    assert!(start.elapsed() >= Duration::from_millis(490), "{:?}", start.elapsed());
    assert_eq!(server.metrics().sum("towline_connections_rejected_total"), 0.0);
}

#[test]
fn connections_above_the_rate_are_rejected_with_admission_reject() {
    const RATE: u32 = 5;
    const CONNECTIONS: u32 = 40;
    let server = echo(|settings| {
        settings.limits.accept_rate = NonZeroU32::new(RATE);
        settings.limits.admission = Admission::Reject;
    });
    let start = Instant::now();
    let mut served = 0;
    for _ in 0..CONNECTIONS {
        let mut client = server.connect();
        client.end_of_input();
        match &client.rest()[..] {
            b"" => served += 1,
            reason => assert_eq!(reason, TOO_MANY.as_bytes()),
        }
    }
    let served_max = f64::from(RATE) * (1.0 + start.elapsed().as_secs_f64());
    assert!(
        served >= RATE && f64::from(served) <= served_max + 1.0,
        "{served} of at most {served_max}"
    );
    let metrics = server.metrics();
    let rejected = metrics.get("towline_connections_rejected_total{reason=\"rate\"}");
    assert_eq!(rejected, f64::from(CONNECTIONS - served));
}
