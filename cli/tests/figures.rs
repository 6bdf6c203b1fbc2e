//! The figures of `/metrics` beside those of the load generator, for a service that takes a known time.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::time::{Instant, sleep};
use towline::{Lines, Running, Server, service_fn};
use towline_test_support::{http::scrape, towline, wait_until};

const CONNECTIONS: usize = 6;

/// Times that the service takes, all where the bounds of the histogram are close to one another. The longer ones
/// are for a host on which the generator alone takes too long.
const TIMES: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(30), Duration::from_millis(90)];

/// How often the longest one is tried.
const TRIES_MAX: usize = 8;

/// How far a median may be from the truth.
const MEDIAN_ERROR_MAX: f64 = 0.1;

/// Longest part of the client's median that is not the service's, for a comparison of both.
const ELSEWHERE_MAX: f64 = 0.04;

/// A server whose service takes `time`, and how long it took by its own clock, in seconds.
fn server(time: Duration) -> (Running, Arc<Mutex<Vec<f64>>>) {
    let took = Arc::new(Mutex::new(Vec::new()));
    let durations = took.clone();
    let service = service_fn(move |lines: Lines| {
        let durations = durations.clone();
        async move {
            let begun = Instant::now();
            sleep(time).await;
            durations.lock().unwrap().push(begun.elapsed().as_secs_f64());
            Ok::<_, Infallible>(lines)
        }
    });
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    (builder.serve(service).start().unwrap(), took)
}

/// Sends lines one after the other on each connection; returns the report.
fn load(lines: SocketAddr, admin: SocketAddr, time: Duration) -> Value {
    let duration = format!("{}ms", 1_000 + 10 * time.as_millis());
    let (target, connections) = (lines.to_string(), CONNECTIONS.to_string());
    let flags = ["--mode", "ping-pong", "-T", &duration, "--quiet", "--json", "-"];
    let arguments = [&["load", &target, "-c", &connections][..], &flags].concat();
    let run = thread::scope(|scope| {
        let run = scope.spawn(|| towline(&arguments));
        let open = || scrape(admin).get("towline_connections_active") as usize;
        wait_until("all connections", || open() == CONNECTIONS);
        while !run.is_finished() {
            assert!(open() <= CONNECTIONS);
            thread::sleep(Duration::from_millis(50));
        }
        run.join().unwrap()
    });
    assert_eq!(run.code, 0, "{run:?}");
    serde_json::from_str(&run.stdout).unwrap()
}

/// Medians were artefacts of the lowest bucket: "p50 5.3 µs" under every load.
#[test]
fn medians_and_connections_agree_with_the_service_and_with_the_load_generator() {
    let longest = TIMES[TIMES.len() - 1];
    let judged = TIMES.into_iter().chain([longest; TRIES_MAX - 1]).any(agree);
    assert!(judged, "the load generator alone took too long");
}

/// Compares the figures for a service that takes `time`. Returns false if the client's median is further from the
/// service's than may be seen.
fn agree(time: Duration) -> bool {
    let (server, took) = server(time);
    let (lines, admin) = (server.address().unwrap(), server.admin_address().unwrap());
    let before = scrape(admin);
    let report = load(lines, admin, time);
    let after = scrape(admin);
    let shown = after.quantile_since(&before, 0.5, "towline_batch_duration_seconds");
    let by = |truth: f64| (shown / truth - 1.0).abs();

    let mut took = took.lock().unwrap();
    took.sort_by(f64::total_cmp);
    let service = took[took.len() / 2];
    let client = report["latency_us"]["p50"].as_f64().unwrap() / 1e6;
    if client > service * (1.0 + ELSEWHERE_MAX) {
        return false;
    }
    assert!(by(service) <= MEDIAN_ERROR_MAX, "{shown} for {service} by the service");
    assert!(by(client) <= MEDIAN_ERROR_MAX, "{shown} for {client} by the client");

    let established = report["connections"]["established"].as_u64().unwrap();
    assert_eq!(after.get("towline_connections_accepted_total"), established as f64);
    assert_eq!(established, CONNECTIONS as u64);
    let sent = report["lines"]["sent"].as_f64().unwrap();
    assert_eq!(after.get("towline_lines_received_total"), sent);
    assert_eq!(after.get("towline_batch_duration_seconds_count"), took.len() as f64);
    true
}
