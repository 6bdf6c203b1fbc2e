//! The order of a drain: readiness, accepts, connections at once or over a window, the deadline. No
//! connection is reset.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{num::NonZeroU32, thread, time::Duration};

use support::{TestServer, echo};
use towline::Outcome;
use towline_test_support::{
    Client,
    http::{self, get},
};

const HOUR: Duration = Duration::from_secs(3600);

/// Starts a drain on a thread of its own, and returns once `/readyz` reports it.
fn drain(server: TestServer) -> thread::JoinHandle<Outcome> {
    let admin = server.admin;
    let draining = thread::spawn(move || server.drain());
    while get(admin, "/readyz").body != "draining\n" {
        thread::sleep(Duration::from_millis(5));
    }
    draining
}

#[test]
fn fault_26_during_the_drain_delay_the_server_accepts_and_serves_but_is_not_ready() {
    let server = echo(|settings| settings.timeouts.drain_delay = Some(Duration::from_secs(3)));
    let (address, admin) = (server.address, server.admin);
    let mut before = server.connect();
    before.ask("a\n", "a\n");
    let draining = drain(server);
    let mut during = Client::connect(address);
    during.ask("b\n", "b\n");
    before.ask("a\n", "a\n");
    assert_eq!(http::scrape(admin).get("towline_draining"), 1.0);
    before.expect_end("");
    during.expect_end("");
    drop((before, during));
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

/// Connections in the accept queue were reset when the listening socket was closed: to their clients a
/// drain was a crash.
#[test]
fn fault_26_connections_in_the_accept_queue_are_closed_in_order_and_not_reset() {
    const WAITING: usize = 300;
    let server = echo(|settings| settings.limits.connections = NonZeroU32::new(3));
    let mut served: Vec<_> = (0..3).map(|_| server.connect()).collect();
    for client in &mut served {
        client.ask("a\n", "a\n");
    }
    let waiting: Vec<_> = (0..WAITING)
        .map(|n| {
            let mut client = server.connect();
            if n % 2 == 0 {
                client.send("a line that is never read\n");
            }
            client
        })
        .collect();
    let metrics =
        server.metrics_when(|metrics| metrics.get("towline_accept_queue_length") == WAITING as f64);
    assert_eq!(metrics.get("towline_connections_active"), 3.0);
    let draining = drain(server);
    for mut client in served.into_iter().chain(waiting) {
        client.expect_end("");
    }
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

#[test]
fn fault_26_with_a_spread_each_connection_is_served_until_it_is_drained() {
    let server = echo(|settings| settings.timeouts.drain_spread = Some(Duration::from_secs(4)));
    let mut clients: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("a\n", "a\n");
    }
    let draining = drain(server);
    let mut last = clients.pop().unwrap();
    let first = &mut clients[0];
    first.expect_end("");
    last.ask("still here\n", "still here\n");
    for mut client in clients.into_iter().chain([last]) {
        client.expect_end("");
    }
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

/// With a deadline shorter than the linger, connections counted as cut although their clients had every
/// reply and had merely not closed yet.
#[test]
fn fault_27_a_lingering_connection_is_not_counted_as_cut() {
    let server = echo(|settings| {
        settings.timeouts.drain = Duration::from_millis(300);
        settings.timeouts.linger = HOUR;
    });
    let mut clients: Vec<_> = (0..5).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("a\n", "a\n");
    }
    let draining = drain(server);
    for client in &mut clients {
        client.expect_end("");
    }
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

#[test]
fn fault_27_the_drain_ends_at_its_deadline_even_in_the_middle_of_a_spread() {
    let server = echo(|settings| {
        settings.timeouts.drain = Duration::from_millis(300);
        settings.timeouts.drain_spread = Some(HOUR);
    });
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    assert_eq!(drain(server).join().unwrap(), Outcome::Cut(1));
}
