//! Paced mode sends on schedule, so it does not hide a stall of the server.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::thread;
use std::time::Duration;

use support::{plan_for, run};
use towline_load::{Mode, RunVerdict};
use towline_test_support::LineServer;

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
    // 200 lines per second: those due in the stalled second wait 500 ms on average.
    let server = stalling();
    let mut plan = plan_for(&server, Mode::Paced { rate: 200.0 });
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
    let mut plan = plan_for(&server, Mode::PingPong { window: 1 });
    plan.connections = 1;
    plan.duration = Duration::from_secs(2);
    let closed = run(&plan);
    assert!(closed.latency_us.max >= 990_000, "{:?}", closed.latency_us);
    // Only one line met the stall here, so it does not show in the percentile.
    assert!(closed.latency_us.p90 < paced.latency_us.p90, "{:?}", closed.latency_us);
}

#[test]
fn lines_are_sent_on_schedule_to_a_server_that_is_too_slow() {
    // With 60 ms per line, 4 connections could serve 66 lines per second; the schedule has 400.
    let server = LineServer::start(|| {
        Box::new(|line| {
            thread::sleep(Duration::from_millis(60));
            line.to_vec()
        })
    });
    let mut plan = plan_for(&server, Mode::Paced { rate: 400.0 });
    plan.duration = Duration::from_millis(1000);
    plan.drain = Duration::from_millis(200);
    let report = run(&plan);
    let due = 400;
    assert!(report.lines.sent.abs_diff(due) <= 8, "{} sent of {due}", report.lines.sent);
    assert!(report.verify.missing > 0, "{:?}", report.verify);
    assert_eq!(report.lines.sent, report.lines.received + report.verify.missing);
}
