//! Fan-out against servers whose deliveries the test decides.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::time::Duration;

use support::run;
use towline_load::{Assertion, FanoutPace, Mode, Plan, Report, RunVerdict};
use towline_test_support::{Answer, FanoutServer, LineServer};

/// Ten subscribers and a publisher, 200 messages per second.
fn plan(server: &LineServer) -> Plan {
    let mut plan = Plan::new(server.address.into());
    plan.mode = Mode::Fanout { pace: FanoutPace::Rate(200.0) };
    plan.verify = true;
    plan.connections = 11;
    plan.duration = Duration::from_millis(300);
    plan.drain = Duration::from_secs(60);
    plan
}

fn verdict(report: &Report) -> RunVerdict {
    report.verdict(&[]).0
}

/// The report on a server of which one subscriber gets what `deliver` makes of the lines.
fn with_wrong_deliveries(deliver: fn() -> Answer) -> Report {
    let server = FanoutServer::with_one_wrong(deliver);
    let mut plan = plan(server.server());
    // Long enough for some messages on a busy machine: the second of them is wrong.
    plan.duration = Duration::from_secs(1);
    plan.drain = Duration::from_millis(500);
    run(&plan)
}

/// Numbers the lines of a member, from 0.
fn numbered(mut each: impl FnMut(u32, &[u8]) -> Vec<u8> + Send + 'static) -> Answer {
    let mut number = 0;
    Box::new(move |line| {
        number += 1;
        each(number - 1, line)
    })
}

#[test]
fn every_subscriber_of_a_faithful_server_receives_every_message() {
    let server = FanoutServer::faithful();
    for (pace, publishers) in [
        (FanoutPace::Rate(200.0), 1),
        (FanoutPace::Rate(300.0), 3),
        (FanoutPace::Window(5), 1),
        (FanoutPace::Window(20), 2),
    ] {
        let mut plan = plan(server.server());
        plan.mode = Mode::Fanout { pace };
        plan.fanout.publishers = publishers;
        plan.connections = 10 + publishers;
        let report = run(&plan);
        let context = format!("{pace:?} {publishers} {:?} {:?}", report.lines, report.verify);
        assert_eq!(verdict(&report), RunVerdict::Clean, "{context}");
        assert!(report.lines.sent >= 10, "{context}");
        assert_eq!(report.lines.received, 10 * report.lines.sent, "{context}");
        assert_eq!(report.verify.checked, report.lines.received, "{context}");
        assert_eq!(report.latency_us.count, report.lines.received, "{context}");
        assert_eq!((report.verify.unanswered, report.verify.missing), (0, 0), "{context}");
    }
}

#[test]
fn a_message_is_found_wherever_it_stands_in_a_line() {
    let server = FanoutServer::start(|_member| {
        Box::new(|line| {
            let message = line.strip_prefix(b"SAY ").unwrap().trim_ascii_end();
            [b"JOIN u77\n{\"said\":\"", message, b"\",\"by\":\"u1\"}\n"].concat()
        })
    });
    let report = run(&plan(server.server()));
    assert_eq!(verdict(&report), RunVerdict::Clean, "{:?}", report.verify);
    assert!(report.lines.received >= 100, "{:?}", report.lines);
}

#[test]
fn a_lost_message_is_missing_and_so_is_the_last_one() {
    let report = with_wrong_deliveries(|| {
        numbered(|number, line| if number == 1 { Vec::new() } else { line.to_vec() })
    });
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
    assert_eq!((report.verify.missing, report.verify.mismatched), (1, 0), "{:?}", report.verify);

    let report = with_wrong_deliveries(|| {
        numbered(|number, line| if number >= 1 { Vec::new() } else { line.to_vec() })
    });
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
    assert_eq!(report.verify.missing, report.lines.sent - 1, "{:?}", report.verify);
    let sentence = report.verdict(&[]).1.concat();
    assert!(sentence.contains("did not arrive"), "{sentence}");
}

#[test]
fn a_message_that_comes_again_is_duplicated() {
    let report = with_wrong_deliveries(|| {
        numbered(|number, line| if number == 1 { line.repeat(3) } else { line.to_vec() })
    });
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
    assert_eq!((report.verify.duplicated, report.verify.missing), (2, 0), "{:?}", report.verify);
}

#[test]
fn a_message_that_comes_late_is_reordered_and_not_missing() {
    let report = with_wrong_deliveries(|| {
        let mut kept = Vec::new();
        numbered(move |number, line| {
            if number == 1 {
                kept = line.to_vec();
                return Vec::new();
            }
            [line, &std::mem::take(&mut kept)].concat()
        })
    });
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
    assert_eq!((report.verify.reordered, report.verify.missing), (1, 0), "{:?}", report.verify);
    assert!(report.verify.examples.iter().any(|e| e.contains("later")), "{:?}", report.verify);
}

#[test]
fn changed_cut_and_foreign_messages_are_told_apart() {
    let changed = with_wrong_deliveries(|| {
        numbered(|number, line| {
            let mut line = line.to_vec();
            match number {
                // The end of the pattern, and the pattern cut.
                2 => line[90] ^= 1,
                3 => drop(line.drain(80..90)),
                _ => {}
            }
            line
        })
    });
    assert_eq!(verdict(&changed), RunVerdict::WrongReplies);
    assert_eq!((changed.verify.corrupted, changed.verify.missing), (2, 2), "{:?}", changed.verify);

    let foreign = with_wrong_deliveries(|| {
        numbered(|number, line| {
            let other = format!("SAY #tl{}", "0".repeat(80));
            if number == 2 { [other.as_bytes(), b"\n", line].concat() } else { line.to_vec() }
        })
    });
    assert_eq!(verdict(&foreign), RunVerdict::WrongReplies);
    assert_eq!(foreign.fanout.as_ref().unwrap().foreign, 1, "{:?}", foreign.verify);
    assert_eq!((foreign.verify.mismatched, foreign.verify.missing), (1, 0), "{:?}", foreign.verify);
    let sentence = foreign.verdict(&[]).1.concat();
    assert!(sentence.contains("1 foreign"), "{sentence}");
}

#[test]
fn an_error_line_among_the_messages_fails_verification() {
    let report = with_wrong_deliveries(|| {
        numbered(|number, line| match number {
            3 => [b"ERR busy\n", line].concat(),
            _ => line.to_vec(),
        })
    });
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
    assert_eq!((report.verify.error_replies, report.verify.missing), (1, 0), "{:?}", report.verify);
}

#[test]
fn a_heartbeat_is_answered_and_its_answer_may_be_refused() {
    let report = with_wrong_deliveries(|| {
        numbered(|number, line| match number {
            3 => [b"ping\n", line].concat(),
            4 => [b"ERR unknown command\n", line].concat(),
            _ => line.to_vec(),
        })
    });
    assert_eq!(verdict(&report), RunVerdict::Clean, "{:?}", report.verify);
    assert_eq!(report.heartbeats, 1);
}

#[test]
fn a_subscription_that_is_refused_or_not_confirmed_is_a_failed_connection() {
    let refusing = LineServer::start(|| Box::new(|_line| b"ERR that name is taken\n".to_vec()));
    let silent = LineServer::start(|| Box::new(|_line| Vec::new()));
    for (server, why) in [(refusing, Some("that name is taken")), (silent, None)] {
        let mut plan = plan(&server);
        plan.connect_timeout = Duration::from_millis(300);
        let report = run(&plan);
        assert_eq!(verdict(&report), RunVerdict::ConnectionsFailed, "{:?}", report.verify);
        assert_eq!(report.connections.failed, 11, "{:?}", report.connections);
        let examples = report.verify.examples.concat();
        assert!(examples.contains(why.unwrap_or_default()), "{examples}");
    }
}

#[test]
fn a_subscriber_that_the_server_ends_is_a_failed_connection_and_not_a_lost_message() {
    let server = FanoutServer::with_one_wrong(|| {
        numbered(|number, line| match number {
            // No line within any bound.
            1 => vec![0; 80 * 1024],
            _ => line.to_vec(),
        })
    });
    let mut plan = plan(server.server());
    plan.fanout.message_bytes = 1000;
    let report = run(&plan);
    // What came is no line within any bound, and the generator ends such a connection.
    assert_eq!(report.verify.corrupted, 1, "{:?}", report.verify);
    assert_eq!(report.connections.closed_early, 1, "{:?}", report.connections);
    assert_eq!(report.verify.missing, 0, "{:?}", report.verify);
    assert!(report.verify.unanswered > 0, "{:?}", report.verify);
}

#[test]
fn stuck_subscribers_are_counted_apart() {
    let server = FanoutServer::faithful();
    let mut plan = plan(server.server());
    plan.connections = 13;
    plan.fanout.stuck = 2;
    plan.fanout.message_bytes = 60_000;
    plan.duration = Duration::from_secs(2);
    let report = run(&plan);
    let fanout = report.fanout.clone().unwrap();
    assert_eq!(verdict(&report), RunVerdict::Clean, "{:?} {fanout:?}", report.verify);
    assert_eq!((fanout.subscribers, fanout.stuck, fanout.stuck_ended), (10, 2, 2), "{fanout:?}");
    assert_eq!(report.lines.received, 10 * report.lines.sent, "{:?}", report.lines);
    assert_eq!(report.connections.closed_early, 0);
    let met = ["stuck_ended==2", "foreign==0", "duplicated==0", "p99<60s", "spread.min>0"];
    for text in met {
        let (verdict, sentences) = report.verdict(&[Assertion::parse(text).unwrap()]);
        assert_eq!(verdict, RunVerdict::Clean, "{text}: {sentences:?}");
    }
    let text = report.text().to_string();
    assert!(text.contains("the server ended 2 of them"), "{text}");
    assert!(report.html().contains("messages delivered"));
}

#[test]
fn all_subscribers_may_be_stuck() {
    let server = FanoutServer::faithful();
    let mut plan = plan(server.server());
    plan.fanout.stuck = 10;
    plan.mode = Mode::Fanout { pace: FanoutPace::Window(1) };
    plan.fanout.message_bytes = 60_000;
    plan.duration = Duration::from_secs(3);
    let report = run(&plan);
    assert_eq!(report.lines.received, 0);
    assert!(report.fanout.unwrap().stuck_ended > 0, "{:?}", report.lines);
}

#[test]
fn reports_of_two_hosts_add_up() {
    let server = FanoutServer::faithful();
    let report = run(&plan(server.server()));
    let both = Report::merge(&[report.clone(), report.clone()]).unwrap();
    assert_eq!(both.fanout.as_ref().unwrap().subscribers, 20);
    assert_eq!(both.lines.received, 2 * report.lines.received);
}
