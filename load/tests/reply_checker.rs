//! `--verify`: a correct server passes in every mode, and every kind of wrong reply is found and named.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::time::Duration;

use support::{plan_for, run};
use towline_load::{Mode, Plan, Report, RunVerdict};
use towline_test_support::{Answer, LineServer};

const MODES: [Mode; 4] =
    [Mode::Flood, Mode::PingPong { window: 10 }, Mode::Paced { rate: 2000.0 }, Mode::Idle];

/// An echo that answers every `every`-th line of a connection by `wrong`.
fn faulty(every: u64, wrong: fn(&[u8]) -> Vec<u8>) -> LineServer {
    LineServer::start(move || {
        let mut number = 0;
        let answer: Answer = Box::new(move |line| {
            number += 1;
            if number % every == 0 { wrong(line) } else { line.to_vec() }
        });
        answer
    })
}

/// A plan for a server that loses lines: the drain waits in vain, so it is short.
fn losing(server: &LineServer, window: u32) -> Plan {
    let mut plan = plan_for(server, Mode::PingPong { window });
    plan.drain = Duration::from_secs(2);
    plan
}

fn corrupt(line: &[u8]) -> Vec<u8> {
    let mut wrong = line.to_vec();
    wrong[0] ^= 1;
    wrong
}

#[track_caller]
fn found_wrong(report: &Report) {
    let (verdict, sentences) = report.verdict(&[]);
    assert_eq!(verdict, RunVerdict::WrongReplies, "{:?}", report.verify);
    assert_eq!(verdict.exit_code(), 4);
    assert!(sentences.iter().any(|s| s.starts_with("verification failed")), "{sentences:?}");
}

#[test]
fn an_echo_passes_in_every_mode_with_every_kind_of_message() {
    let server = LineServer::echo();
    for message in ["ping\\n", "{conn} {seq} {rand:20}\\n", "a\\nlonger line\\n\\n"] {
        for mode in MODES {
            let mut plan = plan_for(&server, mode);
            plan.message = message.to_owned();
            let report = run(&plan);
            let context = format!("{message} {mode:?} {:?} {:?}", report.verify, report.notes);
            assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{context}");
            assert_eq!(report.lines.sent, report.lines.received, "{context}");
            assert_eq!(report.bytes.sent, report.bytes.received, "{context}");
            assert_eq!(report.verify.checked, report.lines.received, "{context}");
            assert!(report.lines.sent >= 4, "{context}");
        }
    }
}

#[test]
fn a_corrupted_line_is_found() {
    let server = faulty(50, corrupt);
    for mode in [Mode::Flood, Mode::PingPong { window: 10 }] {
        for message in ["ping\\n", "{seq} {rand:8}\\n"] {
            let mut plan = plan_for(&server, mode);
            plan.message = message.to_owned();
            let report = run(&plan);
            found_wrong(&report);
            let wrong = report.lines.received / 50;
            let found = report.verify.corrupted;
            assert!(
                found.abs_diff(wrong) <= 4,
                "{found} of about {wrong} found: {:?}",
                report.verify
            );
            assert_eq!((report.verify.missing, report.verify.duplicated), (0, 0));
            assert!(report.verify.examples[0].contains("is not any line"), "{:?}", report.verify);
        }
    }
}

#[test]
fn a_dropped_line_is_missing() {
    let server = faulty(100, |_| Vec::new());
    let report = run(&losing(&server, 10));
    found_wrong(&report);
    assert!(report.verify.missing > 0);
    assert_eq!(report.verify.mismatched, 0, "{:?}", report.verify);
    assert_eq!(report.lines.sent, report.lines.received + report.verify.missing);
}

#[test]
fn a_dropped_line_is_missing_even_when_all_lines_look_alike() {
    let server = faulty(100, |_| Vec::new());
    let mut plan = losing(&server, 10);
    plan.message = "ping\\n".to_owned();
    let report = run(&plan);
    found_wrong(&report);
    assert_eq!(report.lines.sent, report.lines.received + report.verify.missing);
}

#[test]
fn a_line_sent_twice_is_a_duplicate() {
    let server = faulty(100, |line| line.repeat(2));
    for message in ["{conn}:{seq}\\n", "hello\\n", "ping\\n"] {
        let mut plan = plan_for(&server, Mode::PingPong { window: 10 });
        plan.message = message.to_owned();
        let report = run(&plan);
        found_wrong(&report);
        assert!(report.verify.duplicated > 0, "{message}: {:?}", report.verify);
        assert_eq!((report.verify.missing, report.verify.corrupted), (0, 0), "{message}");
        // At most one per connection, and only if the host suspended this test for half a second.
        assert!(report.heartbeats <= 4, "{message}: {} taken for heartbeats", report.heartbeats);
    }
}

#[test]
fn swapped_lines_are_reordered_and_not_missing() {
    let server = LineServer::start(|| {
        let (mut number, mut held) = (0, Vec::new());
        Box::new(move |line| {
            number += 1;
            if number % 40 == 0 {
                held = line.to_vec();
                return Vec::new();
            }
            let mut reply = line.to_vec();
            reply.append(&mut held);
            reply
        })
    });
    let report = run(&losing(&server, 10));
    found_wrong(&report);
    assert!(report.verify.reordered > 0, "{:?}", report.verify);
    // The server may hold the last line of a connection forever.
    assert!(report.verify.missing <= 4, "{:?}", report.verify);
    assert_eq!((report.verify.corrupted, report.verify.duplicated), (0, 0), "{:?}", report.verify);
}

#[test]
fn a_line_that_was_not_sent_is_found_and_does_not_hide_the_next() {
    let server = faulty(30, |line| [b"never sent\n", line].concat());
    let report = run(&plan_for(&server, Mode::PingPong { window: 4 }));
    found_wrong(&report);
    let verify = &report.verify;
    assert!(verify.corrupted > 0, "{verify:?}");
    assert_eq!((verify.duplicated, verify.missing, verify.reordered), (0, 0, 0), "{verify:?}");
}

#[test]
fn one_wrong_line_in_a_million_is_found_in_a_flood() {
    // The wrong line is chosen by number, so the result does not depend on the speed of the host.
    let server = faulty(20_000, corrupt);
    let mut plan = plan_for(&server, Mode::Flood);
    plan.connections = 1;
    plan.message = "x{seq}\\n".to_owned();
    let mut report = run(&plan);
    while report.lines.received < 20_000 {
        plan.duration *= 2;
        report = run(&plan);
    }
    found_wrong(&report);
    assert_eq!(report.verify.corrupted, report.lines.received / 20_000, "{:?}", report.verify);
}

#[test]
fn another_reply_than_the_message_can_be_expected() {
    let server = LineServer::start(|| Box::new(|_| b"+PONG\r\n".to_vec()));
    let mut plan = plan_for(&server, Mode::PingPong { window: 3 });
    plan.message = "PING\\r\\n".to_owned();
    plan.expect = Some("+PONG\\r\\n".to_owned());
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.verify.checked > 0);
    plan.expect = None;
    found_wrong(&run(&plan));
}

#[test]
fn without_verify_other_replies_are_only_counted() {
    let server = LineServer::start(|| Box::new(<[u8]>::to_ascii_uppercase));
    for mode in [Mode::Flood, Mode::PingPong { window: 3 }] {
        let mut plan = plan_for(&server, mode);
        plan.message = "some words {seq}\\n".to_owned();
        plan.verify = false;
        let report = run(&plan);
        assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.verify);
        assert_eq!(report.verify.checked, 0);
        assert!(report.lines.received > 100, "{:?}", report.lines);
    }
}

#[test]
fn a_reply_that_is_overdue_is_counted_and_the_connection_goes_on() {
    let server = faulty(5, |_| Vec::new());
    let mut plan = losing(&server, 1);
    plan.duration = Duration::from_secs(3);
    plan.reply_timeout = Duration::from_millis(100);
    let report = run(&plan);
    assert!(report.errors.timeout >= 4, "{:?}", report.errors);
    assert!(report.lines.received > 4 * 4, "it goes on after a lost reply: {:?}", report.lines);
    assert_eq!(report.lines.sent, report.lines.received + report.verify.missing);
    assert_eq!(report.verify.mismatched, 0, "{:?}", report.verify);
}
