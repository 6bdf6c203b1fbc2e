//! How late the threads of a server run what is ready, as `/metrics` shows it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, thread, time::Duration};

use support::{echo, serve};
use towline::{Lines, service_fn};
use towline_test_support::Metrics;

const DELAY: &str = "towline_scheduling_delay_seconds";

fn samples(metrics: &Metrics) -> f64 {
    metrics.get(&format!("{DELAY}_count"))
}

/// Samples between two scrapes that were late by more than 50 ms.
fn late(before: &Metrics, after: &Metrics) -> f64 {
    let above = |metrics: &Metrics| {
        samples(metrics) - metrics.get(&format!("{DELAY}_bucket{{le=\"0.05\"}}"))
    };
    above(after) - above(before)
}

/// A service that blocks its thread was in no metric: its own batch takes long, and those of the other
/// connections of the thread begin when it is over.
#[test]
fn a_service_that_blocks_its_thread_delays_what_else_is_ready() {
    const BLOCKED: Duration = Duration::from_millis(200);
    let server = serve(
        service_fn(|lines: Lines| {
            if lines.as_bytes().starts_with(b"hog") {
                thread::sleep(BLOCKED);
            }
            async move { Ok::<_, Infallible>(lines) }
        }),
        |_| (),
    );
    let (mut hog, mut polite) = (server.connect(), server.connect());
    polite.ask("a\n", "a\n");
    let before = server.metrics();
    for _ in 0..5 {
        hog.ask("hog\n", "hog\n");
        polite.ask("a\n", "a\n");
    }
    // Due in each 200 ms are four samples, and two of them are late by at least 75 ms and one by 125.
    let after = server.metrics_when(|after| samples(after) >= samples(&before) + 20.0);
    assert!(late(&before, &after) >= 10.0, "{after:?}");
    assert!(after.quantile_since(&before, 0.9, DELAY) > 0.05);
}

#[test]
fn a_thread_is_sampled_while_it_has_connections() {
    let server = echo(|_| ());
    assert_eq!(samples(&server.metrics()), 0.0);
    for _ in 0..3 {
        let mut client = server.connect();
        client.ask("a\n", "a\n");
        let begun = samples(&server.metrics());
        server.metrics_when(|metrics| samples(metrics) > begun);
        drop(client);
        server.metrics_when_empty();
        // The sample that is due already may be taken.
        thread::sleep(Duration::from_millis(200));
        let ended = samples(&server.metrics());
        thread::sleep(Duration::from_millis(300));
        assert_eq!(samples(&server.metrics()), ended, "nothing can be late");
    }
}
