//! Peers that misbehave, and the others beside them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    io::Read as _,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use socket2::SockRef;
use support::{Client, Metrics, TestServer, echo};

#[test]
fn fault_03_an_endless_line_is_refused_and_holds_no_more_than_its_limit() {
    const LIMIT: usize = 1024 * 1024;
    const SENT: usize = 64 * 1024 * 1024;
    let server = echo(|settings| settings.limits.line_bytes = LIMIT);
    let mut client = server.connect();
    let mut sending = Client::connect(server.address);
    std::mem::swap(&mut client, &mut sending);
    let mut receiving = sending.stream().try_clone().unwrap();
    let over = AtomicBool::new(false);
    let mut most_held = 0.0_f64;
    thread::scope(|scope| {
        scope.spawn(|| {
            let piece = vec![b'x'; 64 * 1024];
            for _ in 0..SENT / piece.len() {
                // It may close before it has seen all of it.
                if sending.try_send(&piece).is_err() {
                    break;
                }
            }
            sending.end_of_input();
            over.store(true, Relaxed);
        });
        while !over.load(Relaxed) {
            let held = server.metrics().get("towline_buffer_bytes{direction=\"read\"}");
            most_held = most_held.max(held);
        }
    });
    assert!(most_held <= LIMIT as f64, "it held {most_held}");
    let mut answer = [0; 18];
    receiving.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ERR line too long\n");
    client.ask("the other one\n", "the other one\n");
    drop(receiving);
    let metrics = server.metrics_when(|metrics| metrics.closed("line_too_long") == 1.0);
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"read\"}"), 0.0);
    metrics.assert_books_balance();
}

#[test]
fn fault_35_a_peer_may_reset_or_end_at_any_byte_and_the_counters_are_exact() {
    const TEXT: &str = "one\ntwo\n\nfour\n";
    let server = echo(|_| ());
    let (mut lines, mut halves) = (0, 0);
    for cut in 0..=TEXT.len() {
        let sent = &TEXT[..cut];
        let whole = sent.rfind('\n').map_or(0, |at| at + 1);
        let mut client = server.connect();
        client.send(sent);
        client.end_of_input();
        client.expect_end(&sent[..whole]);
        lines += sent.matches('\n').count();
        halves += usize::from(whole < cut);
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("peer_eof"), TEXT.len() as f64 + 1.0);
    assert_eq!(metrics.get("towline_lines_received_total"), lines as f64);
    assert_eq!(metrics.get("towline_lines_unterminated_total"), halves as f64);

    // Resets after so many bytes of the lines, and after so many bytes of the replies. Whether the
    // server has seen the lines by then is a race, so only the sums are exact.
    for cut in 0..=TEXT.len() {
        let mut client = server.connect();
        client.send(&TEXT[..cut]);
        client.reset();
        let mut client = server.connect();
        client.send(TEXT);
        client.expect(&TEXT[..cut]);
        client.reset();
    }
    let metrics = server.metrics_when_empty();
    let ends = 3.0 * (TEXT.len() as f64 + 1.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), ends);
    assert_eq!(metrics.closed("peer_eof") + metrics.closed("peer_reset"), ends);
    assert!(metrics.closed("peer_reset") > 0.0);
    for direction in ["read", "write"] {
        let held = format!("towline_buffer_bytes{{direction=\"{direction}\"}}");
        assert_eq!(metrics.get(&held), 0.0);
    }
}

/// A read ends before urgent data, and what is behind it may be read only with the next segment.
/// That is the sender's own doing and delays nobody else; no byte is lost and none is added.
#[test]
fn fault_42_urgent_data_is_no_line_and_no_part_of_one() {
    let server = echo(|_| ());
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    client.send("b");
    SockRef::from(client.stream()).send_out_of_band(b"!").unwrap();
    client.send("c\n");
    client.end_of_input();
    client.expect_end("bc\n");
    assert_eq!(server.metrics_when_empty().get("towline_lines_received_total"), 2.0);
}

#[test]
fn fault_21_polite_peers_are_answered_beside_endless_floods() {
    let server = echo(|_| ());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            let flooder = server.connect();
            let mut receiving = flooder.stream().try_clone().unwrap();
            scope.spawn(move || std::io::copy(&mut receiving, &mut std::io::sink()));
            let stop = &stop;
            scope.spawn(move || {
                let mut flooder = flooder;
                let flood = "x\n".repeat(100_000);
                while !stop.load(Relaxed) && flooder.try_send(&flood).is_ok() {}
                flooder.end_of_input();
            });
        }
        let mut polite = server.connect();
        for _ in 0..200 {
            polite.ask("please\n", "please\n");
        }
        stop.store(true, Relaxed);
    });
}

#[test]
fn fault_22_every_polite_peer_is_answered_beside_as_many_flooders() {
    const EACH: usize = 20;
    let server = echo(|settings| settings.server.threads = NonZeroU32::new(2));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..EACH {
            let mut flooder = server.connect();
            let mut receiving = flooder.stream().try_clone().unwrap();
            scope.spawn(move || std::io::copy(&mut receiving, &mut std::io::sink()));
            let stop = &stop;
            scope.spawn(move || {
                let flood = "flood\n".repeat(10_000);
                while !stop.load(Relaxed) && flooder.try_send(&flood).is_ok() {}
                flooder.end_of_input();
            });
        }
        let polite: Vec<_> = (0..EACH)
            .map(|_| {
                let mut peer = server.connect();
                scope.spawn(move || (0..20).for_each(|_| peer.ask("please\n", "please\n")))
            })
            .collect();
        for peer in polite {
            peer.join().unwrap();
        }
        stop.store(true, Relaxed);
    });
    server.metrics_when_empty().assert_books_balance();
}

#[test]
fn fault_11_a_storm_of_resets_is_counted_and_leaves_nothing_behind() {
    const ROUNDS: usize = 1500;
    let server = echo(|_| ());
    for round in 0..ROUNDS {
        let mut client = server.connect();
        match round % 3 {
            // Most likely before it is accepted. Linux hands it over all the same, and it fails at
            // its first read.
            0 => {}
            1 => client.send("line\n"),
            _ => client.ask("line\n", "line\n"),
        }
        client.reset();
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get("towline_connections_accepted_total"), ROUNDS as f64);
    assert_eq!(metrics.closed("peer_reset"), ROUNDS as f64);
    assert_nothing_left(&server, &metrics);
}

#[test]
fn fault_12_connections_that_come_exchange_a_line_and_go_leave_nothing_behind() {
    const ROUNDS: usize = 1500;
    let server = echo(|_| ());
    server.connect().ask("first\n", "first\n");
    let before = server.metrics_when_empty();
    for _ in 0..ROUNDS {
        server.connect().ask("line\n", "line\n");
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("peer_eof"), ROUNDS as f64 + 1.0);
    assert_eq!(metrics.get("towline_lines_received_total"), ROUNDS as f64 + 1.0);
    assert_nothing_left(&server, &metrics);
    // Every gauge of the server, that is whatever may step back, is where it was.
    assert_eq!(before.gauges(), metrics.gauges());
}

#[track_caller]
fn assert_nothing_left(server: &TestServer, metrics: &Metrics) {
    metrics.assert_books_balance();
    assert_eq!(server.running().connections(), 0);
    for direction in ["read", "write"] {
        let held = format!("towline_buffer_bytes{{direction=\"{direction}\"}}");
        assert_eq!(metrics.get(&held), 0.0);
    }
}
