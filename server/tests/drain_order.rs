//! The order of a drain: not ready, not accepting, and then connections, none of them reset.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{num::NonZeroU32, thread, time::Duration};

use support::{Client, TestServer, echo, web::get};
use towline::Outcome;

const HOUR: Duration = Duration::from_secs(3600);

/// Drains on a thread of its own, and returns when the server says that it does.
fn drain(server: TestServer) -> thread::JoinHandle<Outcome> {
    let admin = server.admin;
    let draining = thread::spawn(move || server.drain());
    while get(admin, "/readyz").body != "draining\n" {
        thread::sleep(Duration::from_millis(5));
    }
    draining
}

#[test]
fn fault_26_through_the_delay_it_accepts_and_serves_and_only_says_that_it_is_not_ready() {
    let server = echo(|settings| settings.timeouts.drain_delay = Some(Duration::from_secs(3)));
    let (address, admin) = (server.address, server.admin);
    let mut before = server.connect();
    before.ask("a\n", "a\n");
    let draining = drain(server);
    let mut during = Client::connect(address);
    during.ask("b\n", "b\n");
    before.ask("a\n", "a\n");
    assert_eq!(support::web::scrape(admin).get("towline_draining"), 1.0);
    before.expect_end("");
    during.expect_end("");
    drop((before, during));
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

/// Those that had connected and were not accepted yet were reset when the listening socket was
/// closed: to them a drain was a crash.
#[test]
fn fault_26_who_waits_in_the_kernel_s_queue_gets_an_orderly_end_and_no_reset() {
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
                client.send("a line that nobody has taken\n");
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
fn fault_26_with_a_spread_each_is_served_until_its_turn() {
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

/// A deadline shorter than the linger counted everybody who had got all and merely not closed yet.
#[test]
fn fault_27_who_only_has_not_closed_yet_is_not_counted_as_cut() {
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
