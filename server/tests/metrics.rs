//! What a scrape shows: connections that add up, counters that never step back, series that never change.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write as _},
    net::Ipv4Addr,
    num::NonZeroU32,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use support::{TestServer, echo};
use tokio::time::Instant;
use towline_test_support::{Client, Metrics, http};

/// Connects, exchanges lines and closes in every way that a client can, until `stop` is set.
fn churn(server: &TestServer, seed: usize, stop: &AtomicBool) {
    for round in seed.. {
        if stop.load(Relaxed) {
            return;
        }
        let mut client = server.connect();
        match round % 6 {
            0 => drop(client),
            1 => client.reset(),
            2 => client.ask("a\nb\n", "a\nb\n"),
            3 => {
                client.send("half a li");
                client.reset();
            }
            4 => {
                client.send("too long a line, by far\n");
                let _ = client.rest();
            }
            _ => {
                client.ask("last\n", "last\n");
                client.end_of_input();
                client.expect_end("");
            }
        }
    }
}

fn assert_never_back(before: &Metrics, now: &Metrics) {
    let now: BTreeMap<_, _> = now.counters().collect();
    for (name, value) in before.counters() {
        let now = now.get(name).copied().unwrap_or_else(|| panic!("{name} is gone"));
        assert!(now >= value, "{name} stepped back from {value} to {now}");
    }
}

#[test]
fn fault_45_connections_add_up_and_no_counter_steps_back_at_any_scrape_under_churn() {
    // Few, because the admin thread pauses between them on a busy machine.
    const SCRAPES: usize = 100;
    let server = echo(|settings| {
        settings.server.threads = NonZeroU32::new(2);
        settings.limits.line_bytes = 16;
    });
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for seed in 0..8 {
            let (server, stop) = (&server, &stop);
            scope.spawn(move || churn(server, seed, stop));
        }
        let mut before = server.metrics();
        for _ in 0..SCRAPES {
            let now = server.metrics();
            now.assert_connections_add_up();
            assert_never_back(&before, &now);
            let processed = now.sum("towline_lines_processed_total");
            assert!(processed <= now.get("towline_lines_received_total"));
            before = now;
        }
        stop.store(true, Relaxed);
    });
    let metrics = server.metrics_when_empty();
    assert!(metrics.counters().count() > 40, "the types of metrics were not understood");
    for reason in ["peer_eof", "peer_reset", "line_too_long"] {
        assert!(metrics.closed(reason) > 0.0, "no connection was closed as {reason}");
    }
    for direction in ["read", "write"] {
        let held = format!("towline_buffer_bytes{{direction=\"{direction}\"}}");
        assert_eq!(metrics.get(&held), 0.0);
    }
}

#[test]
fn fault_33_no_request_adds_a_series_or_takes_one_away() {
    let server = echo(|_| ());
    let first = server.metrics();
    for path in ["/nothing", "/metrics?name[]=x", "/metrics%0a", "/metrics", "/a{b=\"c\"}"] {
        http::get(server.admin, path);
    }
    for request in [
        "BREW /metrics HTTP/1.1\r\nhost: x\r\nuser-agent: evil{}\"\r\n\r\n",
        "GET /metrics HTTP/1.1\r\nhost: x\r\ntowline_evil: 1\r\n\r\n",
    ] {
        http::request(server.admin, request);
    }
    assert_eq!(first.names(), server.metrics().names());
}

#[test]
fn fault_34_no_line_and_no_close_adds_a_series_or_takes_one_away() {
    let server = echo(|settings| settings.limits.line_bytes = 64);
    let first = server.metrics();
    let mut client = server.connect();
    client.ask("state=\"x\"\n", "state=\"x\"\n");
    client.send("towline_evil{a=\"b\"} 1\n".repeat(10));
    client.send([b'x'; 100]);
    let _ = client.rest();
    server.connect().reset();
    for source in 2..50 {
        server.connect_from(Ipv4Addr::new(127, 0, 0, source)).ask("a\n", "a\n");
    }
    let mut half = server.connect();
    half.send("half a line");
    drop((client, half));
    let last = server.metrics_when_empty();
    assert_eq!(first.names(), last.names());
}

#[test]
fn every_value_of_every_label_is_exported_at_the_first_scrape() {
    let metrics = echo(|_| ()).metrics();
    let labelled: [(&str, &str, &[&str]); 10] = [
        (
            "towline_connections",
            "state",
            &["handshake", "idle", "read_wait", "ready", "service", "limit_wait", "write_wait"],
        ),
        ("towline_connection_state_seconds_total", "state", &["idle", "write_wait", "closing"]),
        (
            "towline_connections_closed_total",
            "reason",
            &[
                "peer_eof",
                "peer_reset",
                "heartbeat_timeout",
                "service_panic",
                "shutdown",
                "drain",
                "admin",
                "max_age",
                "worker_lost",
            ],
        ),
        (
            "towline_connections_rejected_total",
            "reason",
            &["max_connections", "per_ip", "rate", "fd_exhausted", "memory"],
        ),
        (
            "towline_accept_errors_total",
            "errno",
            &["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "ECONNABORTED", "other"],
        ),
        ("towline_io_wait_seconds_total", "direction", &["read", "write"]),
        ("towline_io_waiting", "direction", &["read", "write"]),
        ("towline_lines_processed_total", "result", &["ok", "timeout", "shed", "error"]),
        ("towline_buffer_bytes", "direction", &["read", "write"]),
        ("towline_worker_restarts_total", "worker", &["0"]),
    ];
    for (metric, label, values) in labelled {
        for value in values {
            assert_eq!(metrics.get(&format!("{metric}{{{label}=\"{value}\"}}")), 0.0);
        }
    }
    for metric in [
        "towline_batch_duration_seconds_bucket{le=\"0.000001\"}",
        "towline_batch_duration_seconds_bucket{le=\"+Inf\"}",
        "towline_batch_duration_seconds_sum",
        "towline_heartbeats_sent_total",
        "towline_heartbeats_missed_total",
        "towline_hashed_bytes_total",
        "towline_hash_seconds_total",
        "towline_draining",
    ] {
        assert_eq!(metrics.get(metric), 0.0, "{metric}");
    }
    for metric in ["process_open_fds", "process_resident_memory_bytes", "towline_build_info"] {
        assert!(metrics.sum(metric) > 0.0, "{metric}");
    }
}

/// Mean life was computed by Little's law, which shows a life of seconds to connections of an hour while many others
/// come and go.
#[test]
fn how_long_connections_were_open_is_counted_when_they_end() {
    const OPEN: &str = "towline_connection_duration_seconds";
    let server = echo(|_| ());
    let mut long = server.connect();
    long.ask("a\n", "a\n");
    thread::sleep(Duration::from_millis(300));
    for _ in 0..20 {
        server.connect().ask("a\n", "a\n");
    }
    let metrics = server.metrics_when(|metrics| metrics.get(&format!("{OPEN}_count")) == 20.0);
    let shortest = metrics.get(&format!("{OPEN}_bucket{{le=\"0.001\"}}"));
    drop(long);
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get(&format!("{OPEN}_count")), 21.0);
    assert_eq!(metrics.get(&format!("{OPEN}_bucket{{le=\"0.001\"}}")), shortest);
    let longer = 21.0 - metrics.get(&format!("{OPEN}_bucket{{le=\"0.25\"}}"));
    assert!(longer >= 1.0 && metrics.get(&format!("{OPEN}_sum")) >= 0.3, "{metrics:?}");
    // Of every end one.
    server.connect().reset();
    let metrics = server.metrics_when(|metrics| metrics.get(&format!("{OPEN}_count")) == 22.0);
    assert_eq!(metrics.sum("towline_connections_closed_total"), 22.0);
}

#[test]
fn memory_without_that_of_connections_is_known() {
    const BASE: &str = "towline_resident_base_bytes";
    let server = echo(|_| ());
    let before = server.metrics();
    assert!(before.get(BASE) > 0.0);
    assert!(before.get(BASE) <= before.get("process_resident_memory_bytes") + 4e6);
    let _clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    assert_eq!(server.metrics().get(BASE), before.get(BASE), "it is of the start");
}

#[test]
fn bytes_and_lines_are_counted_exactly() {
    let server = echo(|_| ());
    let mut client = server.connect();
    client.ask("a\nbb\n", "a\nbb\n");
    client.ask("ccc\n", "ccc\n");
    client.send("rest");
    drop(client);
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.get("towline_read_bytes_total"), 13.0);
    assert_eq!(metrics.get("towline_written_bytes_total"), 9.0);
    assert_eq!(metrics.get("towline_lines_received_total"), 3.0);
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"ok\"}"), 3.0);
    assert_eq!(
        metrics.get("towline_batches_total"),
        metrics.get("towline_batch_duration_seconds_count")
    );
}

const SNAPSHOT: &str = "towline_snapshot_seconds";
const READ_WAIT: &str = "towline_io_wait_seconds_total{direction=\"read\"}";

/// Idle connections wait for the whole time between two scrapes. The numbers of a scrape are of some
/// moment between its request and its response, so the bounds hold on a busy machine too.
#[test]
fn read_wait_of_idle_connections_grows_with_the_time_between_two_scrapes() {
    const IDLE: f64 = 50.0;
    let server = echo(|_| ());
    let clients: Vec<Client> = (0..IDLE as usize)
        .map(|_| {
            let mut client = server.connect();
            client.ask("once\n", "once\n");
            client
        })
        .collect();
    server.metrics_when(|metrics| metrics.get("towline_io_waiting{direction=\"read\"}") == IDLE);

    let before_first = Instant::now();
    let first = server.metrics();
    let after_first = Instant::now();
    thread::sleep(Duration::from_millis(300));
    let before_second = Instant::now();
    let second = server.metrics();
    let after_second = Instant::now();

    let waited = second.get(READ_WAIT) - first.get(READ_WAIT);
    let least = IDLE * (before_second - after_first).as_secs_f64();
    let most = IDLE * (after_second - before_first).as_secs_f64();
    assert!((least..=most).contains(&waited), "{least} ≤ {waited} ≤ {most}");

    // By the server's own clock it is exact. A difference of two numbers of seconds is rounded.
    let between = second.get(SNAPSHOT) - first.get(SNAPSHOT);
    assert!((waited / between - IDLE).abs() < 1e-3, "{waited} in {between}");

    // The wait by direction and the time by state are read at the same moment, so they agree exactly.
    let in_state = |metrics: &Metrics, state: &str| {
        metrics.get(&format!("towline_connection_state_seconds_total{{state=\"{state}\"}}"))
    };
    for metrics in [&first, &second] {
        let states = in_state(metrics, "idle") + in_state(metrics, "read_wait");
        assert!((metrics.get(READ_WAIT) - states).abs() < 1e-6);
    }
    drop(clients);
}

#[test]
fn half_a_line_is_a_read_wait_and_its_bytes_are_counted_while_held() {
    let server = echo(|_| ());
    let mut client = server.connect();
    client.send("half a li");
    let metrics = server
        .metrics_when(|metrics| metrics.get("towline_connections{state=\"read_wait\"}") == 1.0);
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"read\"}"), 9.0);
    client.ask("ne\n", "half a line\n");
    let metrics =
        server.metrics_when(|metrics| metrics.get("towline_connections{state=\"idle\"}") == 1.0);
    assert_eq!(metrics.get("towline_buffer_bytes{direction=\"read\"}"), 0.0);
}

#[test]
fn fault_06_a_peer_that_does_not_read_is_a_write_wait_and_reading_from_it_stops() {
    let server = echo(|settings| settings.limits.output_bytes = 16 * 1024);
    let client = server.connect();
    let mut stream = client.try_clone().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let flood = "ping\n".repeat(20_000);
    // Until neither the server nor the kernel takes more.
    while stream.write_all(flood.as_bytes()).is_ok() {}
    let metrics = server
        .metrics_when(|metrics| metrics.get("towline_connections{state=\"write_wait\"}") == 1.0);
    let unsent = metrics.get("towline_buffer_bytes{direction=\"write\"}");
    assert!(unsent > 0.0, "{metrics:?}");
    // One read is answered by one write, so a block of 64 KiB may be unsent.
    assert!(unsent <= 128.0 * 1024.0, "{unsent}");
    let read = metrics.get("towline_read_bytes_total");
    // Each turn of another client is one of the thread that serves both: if the server still read from
    // the first client, whose input fills the kernel's buffers, it would in one of them.
    const TURNS: u32 = 100;
    let mut other = server.connect();
    for _ in 0..TURNS {
        other.ask("a\n", "a\n");
    }
    let read_from_other = f64::from(TURNS * 2);
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_read_bytes_total"), read + read_from_other, "it read on");
    stream.set_nonblocking(true).unwrap();
    // The kernel may have moved some of the input from one side to the other meanwhile.
    let refused = (0..100).find_map(|_| stream.write(flood.as_bytes()).err()).unwrap();
    assert_eq!(refused.kind(), ErrorKind::WouldBlock, "there was nothing to read");
    assert!(server.metrics().get("towline_io_wait_seconds_total{direction=\"write\"}") > 0.0);
}
