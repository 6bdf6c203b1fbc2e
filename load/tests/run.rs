//! The course of a run: its end, its interruption, and what bounds it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;
use std::time::Duration;

use support::{plan_for, run};
use towline_load::{InFlightLimit, Mode, RunOptions, RunVerdict};
use towline_test_support::LineServer;

#[test]
fn a_server_that_closes_midway_ends_the_run_and_keeps_its_figures() {
    let server = LineServer::with(|stream| {
        let mut writer = stream.try_clone().unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok).take(20) {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    });
    let mut plan = plan_for(&server, Mode::PingPong { window: 1 });
    plan.duration = Duration::from_secs(60);
    let report = run(&plan);
    assert!(report.seconds < 30.0, "all connections are closed: {} s", report.seconds);
    assert_eq!(report.connections.closed_early, 4);
    assert_eq!(report.lines.received, 80);
    assert_eq!(report.verify.mismatched + report.verify.missing, 0, "{:?}", report.verify);
    assert_eq!(report.verdict(&[]).0, RunVerdict::ConnectionsFailed);
}

#[test]
fn an_interrupt_drains_and_reports() {
    let server = LineServer::echo();
    let mut plan = plan_for(&server, Mode::Flood);
    plan.duration = Duration::from_secs(600);
    let interrupt = Arc::new(AtomicBool::new(false));
    let options = RunOptions { interrupt: Arc::clone(&interrupt), ..RunOptions::default() };
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        interrupt.store(true, Ordering::Relaxed);
    });
    let report = towline_load::run(&plan, &options).unwrap();
    stopper.join().unwrap();
    assert!(report.interrupted);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.lines.sent > 0);
    assert_eq!(report.lines.sent, report.lines.received);
}

#[test]
fn a_server_that_never_reads_does_not_hold_up_the_end_of_the_run() {
    // The server's threads hold their connections, and read nothing, until the end of the test.
    let gate = Arc::new(RwLock::new(()));
    let closed = gate.write().unwrap();
    let server = {
        let gate = Arc::clone(&gate);
        LineServer::with(move |_stream| drop(gate.read()))
    };
    let mut plan = plan_for(&server, Mode::Flood);
    plan.drain = Duration::from_millis(200);
    let report = run(&plan);
    assert!(report.bytes.sent > 0);
    assert_eq!(report.lines.received, 0);
    assert_eq!(report.verify.missing, report.lines.sent, "{:?}", report.verify);
    assert_eq!(report.connections.closed_early, 0, "the server still holds all of them");
    drop(closed);
}

#[test]
fn a_flood_stays_within_its_limit_of_bytes_in_flight() {
    let server = LineServer::with(|mut stream| {
        // Reads everything and sends no reply.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let mut plan = plan_for(&server, Mode::Flood);
    plan.drain = Duration::ZERO;
    plan.message = "0123456789abcde\\n".to_owned();
    plan.in_flight = InFlightLimit::Bytes(10_000);
    let limited = run(&plan);
    // At most one write beyond the limit, which is no larger than the limit.
    assert!((4..=4 * 20_000).contains(&limited.bytes.sent), "{}", limited.bytes.sent);
    assert!(limited.notes.iter().any(|n| n.contains("--in-flight off")), "{:?}", limited.notes);
    plan.in_flight = InFlightLimit::Off;
    assert!(run(&plan).bytes.sent > 4 * 20_000);

    let server = LineServer::echo();
    let mut plan = plan_for(&server, Mode::Flood);
    plan.in_flight = InFlightLimit::Bytes(1);
    let least = run(&plan);
    assert_eq!(least.verdict(&[]).0, RunVerdict::Clean, "{:?}", least.verify);
    assert!(
        least.lines.received > 8,
        "the flood goes on with one line at a time: {:?}",
        least.lines
    );
}
