//! Deadlines of quiet, slow and stuck clients: pings, idle, line and write timeouts. Real sockets, short
//! times.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{io::Write as _, thread, time::Duration};

use support::{TestServer, echo};
use tokio::time::Instant;
use towline_test_support::PATIENCE;

/// Short enough for a test. No test asserts how long something took.
const SHORT: Duration = Duration::from_millis(50);

/// A server that pings soon and waits long for the answer, which a busy machine may send late.
fn pinging_soon() -> TestServer {
    echo(|settings| {
        settings.heartbeat.interval = Some(SHORT);
        settings.heartbeat.timeout = PATIENCE;
    })
}

#[test]
fn fault_38_a_quiet_client_is_pinged_and_closed_if_it_does_not_answer() {
    let server = echo(|settings| {
        settings.heartbeat.interval = Some(SHORT);
        settings.heartbeat.timeout = SHORT;
    });
    let mut silent = server.connect();
    silent.expect_end("ping\n");
    drop(silent);
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get("towline_heartbeats_sent_total"), 1.0);
    assert_eq!(metrics.get("towline_heartbeats_missed_total"), 1.0);
    assert_eq!(metrics.closed("heartbeat_timeout"), 1.0);
}

#[test]
fn fault_38_a_pong_is_consumed_and_the_client_is_pinged_again() {
    let server = pinging_soon();
    let mut client = server.connect();
    for _ in 0..3 {
        client.expect("ping\n");
        client.send("pong\n");
    }
    client.expect("ping\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_lines_received_total"), 0.0);
    assert_eq!(metrics.get("towline_heartbeats_missed_total"), 0.0);
    assert_eq!(metrics.get("towline_connections_active"), 1.0);
}

#[test]
fn fault_38_one_pong_per_ping_is_consumed_wherever_it_is_in_the_batch() {
    let server = pinging_soon();
    let mut client = server.connect();
    client.expect("ping\n");
    client.ask("before\npong\npong\nafter\n", "before\npong\nafter\n");
}

#[test]
fn fault_38_any_complete_line_answers_a_ping_and_is_served() {
    let server = pinging_soon();
    let mut client = server.connect();
    for _ in 0..2 {
        client.expect("ping\n");
        client.ask("busy\n", "busy\n");
    }
}

#[test]
fn a_pong_without_a_ping_is_a_line_like_any_other() {
    let server = echo(|settings| settings.heartbeat.interval = None);
    server.connect().ask("pong\nping\n", "pong\nping\n");
}

#[test]
fn fault_01_a_line_that_is_not_complete_in_time_closes_its_connection_even_if_bytes_keep_coming() {
    const CLIENTS: usize = 200;
    let server = echo(|settings| settings.timeouts.line = Some(4 * SHORT));
    let mut slow: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    let until = Instant::now() + PATIENCE;
    // A byte now and then, until every connection is closed.
    while !slow.is_empty() {
        assert!(Instant::now() < until, "{} are still open", slow.len());
        slow.retain_mut(|client| client.try_send("x").is_ok());
        thread::sleep(SHORT);
    }
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("read_timeout"), CLIENTS as f64);
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"read\"}"), 0.0);
}

#[test]
fn a_client_without_a_line_for_the_idle_timeout_is_closed_without_a_reply() {
    let server = echo(|settings| settings.timeouts.idle = Some(SHORT));
    let mut client = server.connect();
    client.expect_end("");
    drop(client);
    assert_eq!(server.metrics_when_empty().closed("idle_timeout"), 1.0);
}

#[test]
fn fault_06_a_client_that_reads_no_reply_for_the_write_timeout_is_closed() {
    let server = echo(|settings| settings.timeouts.write = Some(4 * SHORT));
    let stuck = server.connect();
    let mut stream = stuck.try_clone().unwrap();
    let flood = "ping\n".repeat(20_000);
    while stream.write_all(flood.as_bytes()).is_ok() {}
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("write_timeout"), 1.0);
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"write\"}"), 0.0);
}

#[test]
fn the_time_of_the_service_does_not_count_as_silence_of_the_client() {
    let service = towline::service_fn(|lines: towline::Lines| async move {
        tokio::time::sleep(6 * SHORT).await;
        Ok::<_, towline::BoxError>(lines)
    });
    let server = support::serve(service, |settings| {
        settings.heartbeat.interval = Some(2 * SHORT);
        settings.heartbeat.timeout = SHORT;
        settings.timeouts.idle = Some(4 * SHORT);
    });
    let mut client = server.connect();
    client.ask("slow\n", "slow\n");
}

#[test]
fn a_pong_with_a_carriage_return_is_a_pong_in_lines_framing_only() {
    use towline_config::Framing;
    for (framing, reply) in [(Framing::Batch, "pong\r\n"), (Framing::Lines, "")] {
        let server = echo(|settings| {
            settings.heartbeat.interval = Some(SHORT);
            settings.heartbeat.timeout = PATIENCE;
            settings.workload.framing = framing;
        });
        let mut client = server.connect();
        client.expect("ping\n");
        client.send("pong\r\n");
        client.end_of_input();
        client.expect_end(reply);
    }
}
