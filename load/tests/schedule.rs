//! Latencies agree with what the server itself measured, and an open loop does not hide a stall.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use support::{LineServer, run};
use towline_load::{Mode, RunVerdict};

fn micros() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000 + now.tv_nsec as u64 / 1000
}

#[test]
fn percentiles_agree_with_the_servers_own_record() {
    // 1 in 10 takes 20 ms, 1 in 50 takes 60 ms. What the server itself saw of each delay is the
    // independent record: a client can only see more, and the sum of what it sees is its time.
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
    let mut plan = server.plan(Mode::PingPong { window: 1 });
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
fn an_open_loop_shows_the_stall_that_a_closed_loop_hides() {
    let stalling = || {
        LineServer::start(|| {
            let mut number = 0;
            Box::new(move |line| {
                number += 1;
                if number == 100 {
                    thread::sleep(Duration::from_secs(1));
                }
                line.to_vec()
            })
        })
    };
    // 200 lines a second: those due in the stalled second wait 500 ms on the average.
    let server = stalling();
    let mut plan = server.plan(Mode::Paced { rate: 200.0 });
    plan.connections = 1;
    plan.duration = Duration::from_secs(2);
    let paced = run(&plan);
    assert_eq!(paced.verdict(&[]).0, RunVerdict::Clean, "{:?}", paced.verify);
    assert!(paced.latency_us.max >= 990_000, "{:?}", paced.latency_us);
    assert!(
        paced.latency_us.p90 >= 500_000,
        "half the lines met the stall: {:?}",
        paced.latency_us
    );
    assert_eq!(paced.response_us, Some(paced.latency_us));
    assert!(paced.service_us.is_some());

    let server = stalling();
    let mut plan = server.plan(Mode::PingPong { window: 1 });
    plan.connections = 1;
    plan.duration = Duration::from_secs(2);
    let closed = run(&plan);
    assert!(closed.latency_us.max >= 990_000, "{:?}", closed.latency_us);
    // Here only one line met it, so it vanishes among all the others.
    assert!(closed.latency_us.p90 < paced.latency_us.p90, "{:?}", closed.latency_us);
}

#[test]
fn the_schedule_is_kept_whatever_comes_back() {
    // 60 ms a line on each of 4 connections could serve 66 lines a second; 400 are asked for.
    let server = LineServer::start(|| {
        Box::new(|line| {
            thread::sleep(Duration::from_millis(60));
            line.to_vec()
        })
    });
    let mut plan = server.plan(Mode::Paced { rate: 400.0 });
    plan.duration = Duration::from_millis(1000);
    plan.drain = Duration::from_millis(200);
    let report = run(&plan);
    let due = 400;
    assert!(report.lines.sent.abs_diff(due) <= 8, "{} sent of {due}", report.lines.sent);
    assert!(report.verify.unanswered > 0, "{:?}", report.verify);
    assert_eq!(report.lines.sent, report.lines.received + report.verify.unanswered);
}

#[test]
fn a_flood_times_one_line_a_connection() {
    let server = LineServer::echo();
    let report = run(&server.plan(Mode::Flood));
    assert!(report.latency_us.count > 0);
    assert!(report.latency_us.count < report.lines.received);
}
