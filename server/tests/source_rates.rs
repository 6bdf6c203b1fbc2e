//! The rates of lines and bytes of an address: `limits.lines_per_ip` and `limits.bytes_per_ip`.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{net::Ipv4Addr, num::NonZeroU32};

use support::echo;
use towline::Outcome;
use towline_test_support::wait_until;

const THROTTLED: &str = "towline_connections{state=\"limit_wait\"}";
const SERVED: &str = "towline_lines_processed_total{result=\"ok\"}";

/// At a line per second these wait for a minute.
fn many() -> String {
    "many\n".repeat(60)
}

#[test]
fn connections_of_one_address_wait_for_its_rate_and_those_of_others_do_not() {
    let server = echo(|settings| settings.limits.lines_per_ip = NonZeroU32::new(1));
    let one = Ipv4Addr::new(127, 0, 0, 2);
    let (mut first, mut second) = (server.connect_from(one), server.connect_from(one));
    first.send(many());
    server.metrics_when(|metrics| metrics.get(THROTTLED) == 1.0);
    second.send(many());
    server.metrics_when(|metrics| metrics.get(THROTTLED) == 2.0);
    server.connect().ask("of another\n", "of another\n");
    // The rate goes on while they wait.
    let served = server.metrics().get(SERVED);
    server.metrics_when(|metrics| metrics.get(SERVED) >= served + 2.0);
}

#[test]
fn bytes_are_limited_whatever_lines_they_are_in() {
    let server = echo(|settings| settings.limits.bytes_per_ip = NonZeroU32::new(1024));
    let mut client = server.connect();
    let second = "x".repeat(511) + "\n";
    client.ask(second.repeat(2), second.repeat(2));
    client.send(second.repeat(100));
    server.metrics_when(|metrics| metrics.get(THROTTLED) == 1.0);
}

/// A client that sends too fast and half-closes waits for its replies: it is not taken for one that is gone.
#[test]
fn a_client_that_half_closes_while_it_waits_gets_its_replies() {
    let server = echo(|settings| {
        settings.limits.lines_per_ip = NonZeroU32::new(1);
        settings.timeouts.half_close = Some(std::time::Duration::from_millis(1));
    });
    let mut client = server.connect();
    client.send("a\nb\nc\n");
    client.end_of_input();
    client.expect_end("a\nb\nc\n");
}

#[test]
fn a_drain_answers_at_once_what_was_read_and_waits() {
    let server = echo(|settings| settings.limits.lines_per_ip = NonZeroU32::new(1));
    let mut client = server.connect();
    client.send(many());
    server.metrics_when(|metrics| metrics.get(THROTTLED) == 1.0);
    assert_eq!(server.drain(), Outcome::Clean);
    client.expect_end(many());
}

#[test]
fn a_change_of_the_rate_holds_for_connections_that_are_open() {
    let server = echo(|_| {});
    let mut client = server.connect();
    client.ask("a\nb\nc\n", "a\nb\nc\n");
    let mut settings = server.running().control().settings();
    settings.limits.lines_per_ip = NonZeroU32::new(1);
    server.running().reload(settings).unwrap();
    // Each thread takes a change over when it next polls.
    wait_until("the rate holds", || {
        client.send(many());
        server.metrics().get(THROTTLED) == 1.0
    });
}
