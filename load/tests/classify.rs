//! Lines that the server sends by itself: heartbeats are answered and not counted as replies, error
//! lines are counted by kind.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use support::{plan_for, run};
use towline_load::{Mode, RunVerdict};
use towline_test_support::LineServer;

/// An echo that sends a heartbeat before every 50th reply and does not echo the answers.
fn pinging(pongs: &Arc<AtomicU64>) -> LineServer {
    let pongs = Arc::clone(pongs);
    LineServer::start(move || {
        let (mut number, pongs) = (0, Arc::clone(&pongs));
        Box::new(move |line| {
            if line == b"pong\n" {
                pongs.fetch_add(1, Ordering::Relaxed);
                return Vec::new();
            }
            number += 1;
            if number % 50 == 1 { [b"ping\n", line].concat() } else { line.to_vec() }
        })
    })
}

#[test]
fn heartbeats_between_replies_are_not_counted_as_replies() {
    for mode in [Mode::Flood, Mode::PingPong { window: 5 }, Mode::Paced { rate: 2000.0 }] {
        for verify in [true, false] {
            let pongs = Arc::new(AtomicU64::new(0));
            let server = pinging(&pongs);
            let mut plan = plan_for(&server, mode);
            plan.verify = verify;
            let report = run(&plan);
            let context = format!("{mode:?} verify {verify}: {:?}", report.verify);
            assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{context}");
            assert!(report.heartbeats > 0, "{context}");
            if mode != Mode::Flood {
                assert_eq!(report.lines.sent, report.lines.received, "{context}");
                assert!(pongs.load(Ordering::Relaxed) > 0, "{context}");
            }
        }
    }
}

#[test]
fn an_idle_connection_answers_its_heartbeats() {
    let answered = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&answered);
    let server = LineServer::with(move |stream| {
        let mut writer = stream.try_clone().unwrap();
        let mut lines = BufReader::new(stream).lines();
        for _ in 0..3 {
            writer.write_all(b"ping\n").unwrap();
            assert_eq!(lines.next().unwrap().unwrap(), "pong");
            count.fetch_add(1, Ordering::Relaxed);
        }
        for line in lines.map_while(Result::ok) {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    });
    for message in ["{conn}:{seq}\\n", "hello\\n"] {
        answered.store(0, Ordering::Relaxed);
        let mut plan = plan_for(&server, Mode::Idle);
        plan.message = message.to_owned();
        let report = run(&plan);
        assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
        assert_eq!(answered.load(Ordering::Relaxed), 12);
        assert_eq!((report.heartbeats, report.lines.received), (12, 4));
    }
}

#[test]
fn after_silence_a_surplus_ping_is_a_heartbeat_even_if_the_message_looks_like_one() {
    let server = LineServer::with(|stream| {
        let mut writer = stream.try_clone().unwrap();
        // Longer than the half second within which a surplus line counts as a duplicate.
        thread::sleep(Duration::from_millis(700));
        writer.write_all(b"ping\n").unwrap();
        let mut lines = BufReader::new(stream).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "pong");
        for line in lines.map_while(Result::ok) {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    });
    let mut plan = plan_for(&server, Mode::Idle);
    plan.message = "ping\\n".to_owned();
    plan.duration = Duration::from_millis(1200);
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert_eq!((report.heartbeats, report.lines.received), (4, 4), "{:?}", report.verify);
}

#[test]
fn an_echo_of_a_pong_is_not_a_mismatch() {
    let server = LineServer::start(|| {
        let mut number = 0;
        Box::new(move |line| {
            number += 1;
            if number % 50 == 1 { [b"ping\n", line].concat() } else { line.to_vec() }
        })
    });
    let report = run(&plan_for(&server, Mode::PingPong { window: 2 }));
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.heartbeats > 0);
}

#[test]
fn error_lines_are_counted_by_kind_and_apart_from_mismatches() {
    let server = LineServer::start(|| {
        let mut number = 0;
        Box::new(move |line| {
            number += 1;
            match number % 10 {
                3 => b"ERR timeout\n".to_vec(),
                6 => b"ERR overloaded\n".to_vec(),
                9 => b"ERR something new\n".to_vec(),
                _ => line.to_vec(),
            }
        })
    });
    for mode in [Mode::Flood, Mode::PingPong { window: 5 }] {
        let report = run(&plan_for(&server, mode));
        assert_eq!(report.verdict(&[]).0, RunVerdict::WrongReplies, "{:?}", report.verify);
        assert_eq!((report.verify.mismatched, report.verify.missing), (0, 0));
        assert_eq!(report.verify.error_replies, report.error_lines.values().sum::<u64>());
        assert_eq!(report.verify.checked, report.lines.received);
        assert_eq!(report.lines.sent, report.lines.received);
        for kind in ["timeout", "overloaded", "other"] {
            let count = report.error_lines[kind];
            assert!(count.abs_diff(report.lines.received / 10) <= 4, "{kind}: {count}");
        }
    }
}

#[test]
fn lines_of_a_connection_that_an_error_line_refused_are_not_missing() {
    let server = LineServer::with(|mut stream| {
        stream.write_all(b"ERR too many connections\n").unwrap();
    });
    let report = run(&plan_for(&server, Mode::PingPong { window: 1 }));
    assert_eq!(report.verdict(&[]).0, RunVerdict::ConnectionsFailed, "{:?}", report.verify);
    assert_eq!(report.connections.closed_early, 4);
    assert_eq!(report.verify.mismatched + report.verify.missing, 0, "{:?}", report.verify);
    assert_eq!(report.error_lines.get("too_many_connections"), Some(&4));
}
