//! Latencies, measured from the send times of the lines in flight, agree with the server's own record.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use support::{plan_for, run};
use towline_load::Mode;
use towline_test_support::LineServer;

fn micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[test]
fn percentiles_agree_with_the_servers_own_record() {
    // 1 line in 10 takes 20 ms, 1 in 50 takes 60 ms. The server's record of each delay is independent
    // of the generator: a client measures at least that, and the sum of its latencies is the run's time.
    let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
    let record = Arc::clone(&seen);
    let server = LineServer::start(move || {
        let (mut number, record) = (0, Arc::clone(&record));
        Box::new(move |line| {
            let from = micros();
            number += 1;
            match number % 50 {
                0 => thread::sleep(Duration::from_millis(60)),
                n if n % 10 == 0 => thread::sleep(Duration::from_millis(20)),
                _ => {}
            }
            record.lock().unwrap().push(micros() - from);
            line.to_vec()
        })
    });
    let mut plan = plan_for(&server, Mode::PingPong { window: 1 });
    plan.connections = 1;
    plan.duration = Duration::from_millis(1500);
    let report = run(&plan);
    let mut seen = seen.lock().unwrap().clone();
    seen.sort_unstable();
    let latency = &report.latency_us;
    assert_eq!(latency.count as usize, seen.len());
    assert_eq!(latency.count, report.lines.received);
    for (quantile, measured) in [(0.5, latency.p50), (0.9, latency.p90), (0.99, latency.p99)] {
        let rank = ((seen.len() as f64 * quantile).ceil() as usize).max(1);
        let theirs = seen[rank - 1];
        // Three significant digits: a value may be shown up to a thousandth too low.
        assert!(measured + measured / 500 + 2 >= theirs, "p{quantile}: {measured} < {theirs}");
    }
    let total = latency.mean * latency.count as f64 / 1e6;
    assert!(total <= report.seconds * 1.002, "{total} s waited in {} s", report.seconds);
    let idle = report.seconds - report.ramp_seconds - total;
    let last = latency.max as f64 / 1e6;
    assert!(
        idle <= last + 0.05,
        "one line is always in flight, but {idle} s are not accounted for"
    );
}

#[test]
fn a_flood_times_one_line_a_connection() {
    let server = LineServer::echo();
    let report = run(&plan_for(&server, Mode::Flood));
    assert!(report.latency_us.count > 0);
    assert!(report.latency_us.count < report.lines.received);
}
