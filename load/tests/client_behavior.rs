//! Bad clients do what their name says, and are not part of the well-behaved clients' figures.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use support::{plan_for, run};
use towline_load::{BadClientCounters, BehaviorGroup, ClientBehavior, Mode, Report, RunVerdict};
use towline_test_support::LineServer;

/// What a server received on each connection: the bytes, and whether it ended with a reset.
type Seen = Arc<Mutex<Vec<(Vec<u8>, bool)>>>;

fn watching(seen: &Seen) -> LineServer {
    let seen = Arc::clone(seen);
    LineServer::with(move |stream| {
        let end = read_all(stream);
        seen.lock().unwrap().push(end);
    })
}

/// Echoes whole reads until the end.
fn read_all(mut stream: TcpStream) -> (Vec<u8>, bool) {
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) => return (all, false),
            Ok(n) => {
                all.extend_from_slice(&chunk[..n]);
                let _ = std::io::Write::write_all(&mut stream, &chunk[..n]);
            }
            Err(_) => return (all, true),
        }
    }
}

fn run_as(behavior: ClientBehavior, server: &LineServer) -> Report {
    let mut plan = plan_for(server, Mode::PingPong { window: 1 });
    plan.mix = vec![BehaviorGroup { behavior, connections: 4 }];
    plan.message = "hello\\n".to_owned();
    plan.bad_client_interval = Duration::from_millis(50);
    plan.duration = Duration::from_millis(500);
    run(&plan)
}

fn counters(report: &Report) -> BadClientCounters {
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.notes);
    assert_eq!(report.lines.sent, 0, "lines of bad clients are not counted for the run");
    report.bad_clients[0].counters
}

#[track_caller]
fn wait_for(seen: &Seen, count: usize) -> Vec<(Vec<u8>, bool)> {
    for _ in 0..500 {
        if seen.lock().unwrap().len() >= count {
            return seen.lock().unwrap().clone();
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("the server saw only {} connections end", seen.lock().unwrap().len());
}

#[test]
fn a_slowloris_never_ends_its_line() {
    let seen = Seen::default();
    let report = run_as(ClientBehavior::Slowloris, &watching(&seen));
    assert!(counters(&report).bytes_sent >= 4);
    for (bytes, _) in wait_for(&seen, 4) {
        assert!(!bytes.is_empty() && !bytes.contains(&b'\n'), "{bytes:?}");
    }
}

#[test]
fn a_trickle_sends_whole_lines_a_byte_at_a_time() {
    let seen = Seen::default();
    let report = run_as(ClientBehavior::Trickle, &watching(&seen));
    assert!(counters(&report).bytes_sent >= 4);
    for (bytes, _) in wait_for(&seen, 4) {
        assert!(!bytes.is_empty());
        assert!(b"hello\nhello\nhello\n".starts_with(&bytes[..bytes.len().min(18)]), "{bytes:?}");
        // A byte per interval of 50 ms, so the number of bytes is limited by the length of the run.
        assert!(bytes.len() as f64 <= report.seconds / 0.05 + 2.0, "{} bytes", bytes.len());
    }
}

#[test]
fn churn_connects_again_after_every_line() {
    let seen = Seen::default();
    let report = run_as(ClientBehavior::Churn, &watching(&seen));
    let counters = counters(&report);
    assert!(counters.established > 8, "{counters:?}");
    assert!(wait_for(&seen, 8).iter().take(4).all(|(bytes, _)| bytes == b"hello\n"));
}

#[test]
fn reset_closes_its_connections_with_a_reset() {
    let seen = Seen::default();
    let report = run_as(ClientBehavior::Reset, &watching(&seen));
    assert!(counters(&report).established > 4, "{report:?}");
    assert!(wait_for(&seen, 4)[..4].iter().all(|(bytes, reset)| bytes == b"hello\n" && *reset));
}

#[test]
fn half_open_sends_one_line_and_no_more() {
    let seen = Seen::default();
    let report = run_as(ClientBehavior::HalfOpen, &watching(&seen));
    assert_eq!(counters(&report).lines_received, 0);
    assert!(wait_for(&seen, 4).iter().all(|(bytes, _)| bytes == b"hello\n"));
}

#[test]
fn a_burst_is_a_thousand_lines_at_once() {
    let seen = Seen::default();
    let report = run_as(ClientBehavior::Burst, &watching(&seen));
    assert!(counters(&report).bytes_sent >= 4 * 6000, "{:?}", report.bad_clients);
    assert!(wait_for(&seen, 4).iter().all(|(bytes, _)| bytes.starts_with(b"hello\nhello\n")));
}

#[test]
fn never_read_is_closed_by_a_server_with_a_write_timeout() {
    // This server echoes, and closes a connection whose client does not read for 100 ms.
    let server = LineServer::with(|mut stream| {
        stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        let (mut chunk, mut alive) = ([0; 65536], true);
        while alive {
            let n = stream.read(&mut chunk).unwrap_or(0);
            alive = n > 0 && std::io::Write::write_all(&mut stream, &chunk[..n]).is_ok();
        }
    });
    let mut plan = plan_for(&server, Mode::PingPong { window: 1 });
    plan.mix = BehaviorGroup::parse_mix("polite=3,never-read=2").unwrap();
    plan.connections = 5;
    plan.duration = Duration::from_secs(2);
    plan.bad_client_interval = Duration::from_millis(50);
    let report = run(&plan);
    assert_eq!(report.connections.requested, 5);
    let counters = report.bad_clients[0].counters;
    assert_eq!(report.bad_clients[0].behavior, "never-read");
    assert!(counters.bytes_sent > 100_000, "{counters:?}");
    assert!(counters.closed_by_server > 0, "{counters:?}");
    assert!(counters.established > 2, "they connect again: {counters:?}");
    // The well-behaved clients are measured apart, without errors.
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.lines.received > 0);
    assert_eq!(report.lines.sent, report.lines.received);
}
