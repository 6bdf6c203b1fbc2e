//! `timeouts.age`: connections end in order when they are old enough.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{thread, time::Duration};

use tower::service_fn;
use towline::{BoxError, Lines};
use towline_test_support::wait_until;

use support::{echo, serve};

#[test]
fn an_idle_connection_ends_in_order_and_one_that_is_younger_goes_on() {
    let server = echo(|settings| settings.timeouts.age = Some(Duration::from_secs(3)));
    let mut old = server.connect();
    old.ask("a\n", "a\n");
    thread::sleep(Duration::from_secs(2));
    let mut young = server.connect();
    young.ask("b\n", "b\n");
    old.expect_end("");
    young.ask("c\n", "c\n");
    drop(old);
    server.metrics_when(|metrics| metrics.closed("max_age") == 1.0);
}

#[test]
fn a_busy_connection_ends_between_two_batches_with_all_it_asked_answered() {
    let server = echo(|settings| settings.timeouts.age = Some(Duration::from_secs(1)));
    let mut client = server.connect();
    let mut answered = 0;
    while client.try_send("a\n").is_ok() {
        let line = client.read_line();
        if line.is_empty() {
            break;
        }
        assert_eq!(line, "a\n");
        answered += 1;
    }
    assert!(answered > 10, "{answered} lines in about a second");
    drop(client);
    server.metrics_when(|metrics| metrics.closed("max_age") == 1.0);
    server.metrics_when_empty().assert_connections_add_up();
}

#[test]
fn a_call_that_waits_is_answered_first() {
    let slow = service_fn(|lines: Lines| async move {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok::<_, BoxError>(lines)
    });
    let server = serve(slow, |settings| settings.timeouts.age = Some(Duration::from_secs(1)));
    let mut client = server.connect();
    client.send("a\n");
    client.expect_end("a\n");
    drop(client);
    server.metrics_when(|metrics| metrics.closed("max_age") == 1.0);
}

#[test]
fn it_can_be_set_while_connections_are_open_and_ends_them_over_time() {
    let server = echo(|_| ());
    let clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    server.metrics_when(|metrics| metrics.get("towline_connections_active") == 50.0);
    thread::sleep(Duration::from_secs(2));
    let control = server.running().control();
    let mut settings = control.settings();
    settings.timeouts.age = Some(Duration::from_secs(1));
    control.reload(settings).unwrap();
    wait_until("all have ended", || server.metrics().closed("max_age") == 50.0);
    drop(clients);
}
