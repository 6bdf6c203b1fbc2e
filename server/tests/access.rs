//! Which addresses may connect, and how often.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{fs, num::NonZeroU32};

use support::echo;
use towline_test_support::TempFile;

const DENIED: &str = "ERR your address may not connect\n";

#[test]
fn an_address_that_is_not_allowed_is_told_so_and_counted() {
    let server = echo(|settings| {
        settings.limits.allow = Some("127.0.0.0/24, 127.0.1.1".parse().unwrap());
        settings.limits.deny = Some("127.0.0.9".parse().unwrap());
    });
    for (source, is_served) in [
        ([127, 0, 0, 1], true),
        ([127, 0, 0, 9], false),
        ([127, 0, 1, 1], true),
        ([127, 0, 1, 2], false),
    ] {
        let mut client = server.connect_from(source.into());
        if is_served {
            client.ask("in\n", "in\n");
        } else {
            client.expect_end(DENIED);
        }
    }
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_connections_rejected_total{reason=\"denied\"}"), 2.0);
}

#[test]
fn a_reload_takes_over_what_the_files_of_a_list_hold_by_then() {
    let file = TempFile::new("127.0.0.0/8\n");
    let server = echo(|settings| settings.limits.allow = Some(file.name().parse().unwrap()));
    let control = server.running().control();
    let mut open = server.connect();
    open.ask("in\n", "in\n");
    fs::write(file.path(), "127.0.0.2\n").unwrap();
    let mut settings = control.settings();
    settings.limits.allow = Some(file.name().parse().unwrap());
    assert_eq!(control.reload(settings).unwrap(), []);
    server.connect().expect_end(DENIED);
    server.connect_from([127, 0, 0, 2].into()).ask("in\n", "in\n");
    open.ask("still in\n", "still in\n");
}

#[test]
fn an_address_that_connects_too_often_is_rejected_and_others_are_not() {
    let server = echo(|settings| settings.limits.accept_rate_per_ip = NonZeroU32::new(1));
    let mut first = server.connect();
    first.ask("in\n", "in\n");
    // As many as a slow machine needs seconds for, and some.
    let rejected = || {
        let mut client = server.connect();
        client.send("in\n");
        client.read_line() == "ERR too many connections from your address\n"
    };
    assert!((0..100).any(|_| rejected()));
    server.connect_from([127, 0, 0, 2].into()).ask("in\n", "in\n");
    let rejected = "towline_connections_rejected_total{reason=\"per_ip_rate\"}";
    assert!(server.metrics().get(rejected) >= 1.0);
}
