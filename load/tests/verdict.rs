//! The verdict on a run: error lines and lines without a reply fail verification, and an assertion
//! about a figure that was not measured is missed.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::thread;
use std::time::Duration;

use support::{plan_for, run};
use towline_load::{Assertion, InFlightLimit, Mode, Plan, Report, RunVerdict};
use towline_test_support::LineServer;

const MODES: [Mode; 4] =
    [Mode::Flood, Mode::PingPong { window: 3 }, Mode::Paced { rate: 500.0 }, Mode::Idle];

/// A plan whose flood has few lines in flight, so that a slow host answers them within the drain.
fn plan(server: &LineServer, mode: Mode) -> Plan {
    let mut plan = plan_for(server, mode);
    plan.in_flight = InFlightLimit::Bytes(16 << 10);
    plan
}

/// Reads from its connections and never answers.
fn silent() -> LineServer {
    LineServer::with(|mut stream| {
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    })
}

/// Sends bytes without end, but never a newline.
fn endless() -> LineServer {
    LineServer::with(|mut stream| {
        while stream.write_all(&[b'x'; 1024]).is_ok() {
            thread::sleep(Duration::from_millis(5));
        }
    })
}

/// Answers every line by `reply`.
fn always(reply: &'static [u8]) -> LineServer {
    LineServer::start(move || Box::new(|_| reply.to_vec()))
}

fn verdict(report: &Report) -> RunVerdict {
    report.verdict(&[]).0
}

/// The sentence of an assertion that was missed.
fn missed(report: &Report, assertion: &str) -> Option<String> {
    let (verdict, mut sentences) = report.verdict(&[Assertion::parse(assertion).unwrap()]);
    (verdict == RunVerdict::AssertionMissed).then(|| sentences.remove(0))
}

/// A server answered `ERR timeout` to 139,246 lines of as many, `--verify` ended with exit code 0, and
/// a p50 of 51 µs was made of nothing but error lines.
#[test]
fn a_server_that_answers_only_error_lines_fails_verification() {
    for (reply, kind) in [(&b"ERR timeout\n"[..], "timeout"), (b"ERR overloaded\n", "overloaded")] {
        let server = always(reply);
        for mode in MODES {
            let report = run(&plan(&server, mode));
            let context = format!("{mode:?} {:?} {:?}", report.verify, report.latency_us);
            assert_eq!(verdict(&report), RunVerdict::WrongReplies, "{context}");
            assert!(report.lines.received >= 4, "{context}");
            assert_eq!(report.lines.sent, report.lines.received, "{context}");
            assert_eq!(report.error_lines[kind], report.lines.received, "{context}");
            assert_eq!(report.verify.error_replies, report.lines.received, "{context}");
            assert_eq!((report.verify.mismatched, report.verify.missing), (0, 0), "{context}");
            assert_eq!(report.latency_us.count, 0, "{context}");
            assert!(report.error_latency_us.unwrap().count >= 4, "{context}");
        }
    }
}

/// The percentiles were made of replies and error lines alike, so a server that sheds lines at once
/// looked faster than one that serves them.
#[test]
fn the_latency_of_error_lines_is_apart() {
    let server = LineServer::start(|| {
        let mut number = 0;
        Box::new(move |line| {
            number += 1;
            if number % 8 == 3 {
                thread::sleep(Duration::from_millis(20));
                return b"ERR timeout\n".to_vec();
            }
            line.to_vec()
        })
    });
    for mode in [Mode::PingPong { window: 1 }, Mode::PingPong { window: 5 }, MODES[2]] {
        for verify in [true, false] {
            let mut plan = plan(&server, mode);
            plan.verify = verify;
            let report = run(&plan);
            let context = format!("{mode:?} {:?} {:?}", report.verify, report.error_latency_us);
            let errors = report.error_latency_us.unwrap();
            assert!(errors.min >= 19_900, "{context}");
            assert_eq!(errors.count, report.error_lines["timeout"], "{context}");
            assert_eq!(
                report.latency_us.count + errors.count,
                report.lines.received,
                "every reply is timed once: {context}"
            );
            assert_eq!(verdict(&report) == RunVerdict::WrongReplies, verify, "{context}");
            let merged = Report::merge(&[report.clone(), report.clone()]).unwrap();
            assert_eq!(merged.error_latency_us.unwrap().count, 2 * errors.count);
            assert_eq!(merged.verify.error_replies, 2 * report.verify.error_replies);
        }
    }
}

/// A server sent 20.7 GiB without a newline, no line came back, and `--verify` ended with exit code 0
/// in ping-pong, flood and paced mode.
#[test]
fn lines_without_a_reply_are_missing_though_bytes_arrive() {
    let server = endless();
    for mode in MODES {
        let mut plan = plan(&server, mode);
        plan.drain = Duration::from_millis(300);
        let report = run(&plan);
        let context = format!("{mode:?} {:?} {:?}", report.lines, report.verify);
        assert!(report.lines.sent >= 4, "{context}");
        assert_eq!(report.lines.received, 0, "{context}");
        assert_eq!(report.verify.missing, report.lines.sent, "{context}");
        assert_eq!(verdict(&report), RunVerdict::WrongReplies, "{context}");
    }
}

#[test]
fn lines_to_a_server_that_never_answers_are_missing() {
    let server = silent();
    for mode in MODES {
        let mut plan = plan(&server, mode);
        plan.drain = Duration::from_millis(300);
        let report = run(&plan);
        let context = format!("{mode:?} {:?} {:?}", report.lines, report.verify);
        assert!(report.lines.sent >= 4, "{context}");
        assert_eq!(report.verify.missing, report.lines.sent, "{context}");
        assert_eq!(verdict(&report), RunVerdict::WrongReplies, "{context}");
    }
}

#[test]
fn without_verify_lines_without_a_reply_are_told_and_not_held_against_the_server() {
    for server in [silent(), endless()] {
        for mode in MODES {
            let mut plan = plan(&server, mode);
            plan.verify = false;
            plan.drain = Duration::from_millis(200);
            let report = run(&plan);
            let context = format!("{mode:?} {:?} {:?}", report.lines, report.verify);
            assert!(report.lines.sent >= 4, "{context}");
            assert_eq!(report.verify.unanswered, report.lines.sent, "{context}");
            assert_eq!(report.verify.missing, 0, "{context}");
            assert_eq!(verdict(&report), RunVerdict::Clean, "{context}");
            let text = report.text().to_string();
            assert!(text.contains("\nunanswered "), "{text}");
        }
    }
}

#[test]
fn a_line_given_up_after_the_reply_timeout_was_never_answered() {
    let server = silent();
    let mut plan = plan(&server, Mode::PingPong { window: 2 });
    plan.verify = false;
    plan.duration = Duration::from_millis(1500);
    plan.reply_timeout = Duration::from_millis(100);
    plan.drain = Duration::from_millis(100);
    let report = run(&plan);
    assert!(report.errors.timeout > 0, "{:?}", report.errors);
    assert_eq!(report.verify.unanswered, report.lines.sent, "{:?}", report.verify);
}

#[test]
fn a_line_given_up_after_the_reply_timeout_was_answered_if_its_reply_comes_late() {
    let late = |message: &str, verify| {
        let server = LineServer::start(|| {
            let mut first = true;
            Box::new(move |line| {
                if std::mem::take(&mut first) {
                    thread::sleep(Duration::from_millis(1600));
                }
                line.to_vec()
            })
        });
        let mut plan = plan(&server, Mode::PingPong { window: 1 });
        plan.verify = verify;
        plan.message = message.to_owned();
        plan.duration = Duration::from_millis(2500);
        plan.reply_timeout = Duration::from_millis(100);
        let report = run(&plan);
        let context = format!("{message} {:?} {:?}", report.lines, report.verify);
        assert!(report.errors.timeout > 0, "{:?}", report.errors);
        assert_eq!(report.lines.sent, report.lines.received, "{context}");
        assert_eq!((report.verify.missing, report.verify.unanswered), (0, 0), "{context}");
    };
    thread::scope(|scope| {
        for message in ["{seq}\\n", "hello\\n"] {
            for verify in [true, false] {
                scope.spawn(move || late(message, verify));
            }
        }
    });
}

/// After two seconds without any reply the drain ended, whatever `--drain` said: a server that paused
/// for longer had lost every line in flight.
#[test]
fn a_reply_that_comes_late_but_within_the_drain_is_not_missing() {
    let late = |mode| {
        let server = LineServer::start(|| {
            let mut first = true;
            Box::new(move |line| {
                if std::mem::take(&mut first) {
                    thread::sleep(Duration::from_millis(2600));
                }
                line.to_vec()
            })
        });
        let mut plan = plan(&server, mode);
        plan.drain = Duration::from_secs(60);
        let report = run(&plan);
        let context = format!("{mode:?} {:?} {:?}", report.lines, report.verify);
        assert_eq!(verdict(&report), RunVerdict::Clean, "{context}");
        assert_eq!(report.lines.sent, report.lines.received, "{context}");
        assert!(report.latency_us.max >= 2_500_000, "{context} {:?}", report.latency_us);
    };
    thread::scope(|scope| {
        for mode in MODES {
            scope.spawn(move || late(mode));
        }
    });
}

/// The lines of 256 idle connections are sent at once. A server that closed all of them without a reply
/// ended that: the others never sent their line, and nothing was missing.
#[test]
fn idle_connections_send_their_line_though_others_are_closed_without_a_reply() {
    let server = LineServer::with(|stream| {
        let _ = BufReader::new(stream).read_until(b'\n', &mut Vec::new());
    });
    let mut plan = plan(&server, Mode::Idle);
    plan.connections = 300;
    plan.threads = Some(1);
    plan.drain = Duration::from_secs(60);
    let report = run(&plan);
    assert_eq!(report.lines.sent, 300, "{:?}", report.lines);
    assert_eq!(report.verify.missing, 300, "{:?}", report.verify);
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
}

#[test]
fn with_a_drain_of_0_lines_in_flight_are_missing_only_if_no_reply_came_at_all() {
    let server = LineServer::start(|| {
        let mut number = 0;
        Box::new(move |line| {
            number += 1;
            if number > 20 { Vec::new() } else { line.to_vec() }
        })
    });
    let mut plan = plan(&server, Mode::PingPong { window: 1 });
    plan.threads = Some(1);
    plan.drain = Duration::ZERO;
    let report = run(&plan);
    assert_eq!((report.verify.missing, report.verify.unanswered), (0, 4), "{:?}", report.verify);
    assert_eq!(verdict(&report), RunVerdict::Clean);

    let server = silent();
    plan.targets = vec![server.address.into()];
    let report = run(&plan);
    assert_eq!((report.verify.missing, report.verify.unanswered), (4, 0), "{:?}", report.verify);
    assert_eq!(verdict(&report), RunVerdict::WrongReplies);
}

#[test]
fn a_refusal_of_the_connection_is_no_reply() {
    let refusals =
        [&b"ERR too many connections\n"[..], b"ERR too many connections from your address\n"];
    for refusal in refusals {
        for closes in [true, false] {
            let server = LineServer::with(move |mut stream| {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let _ = reader.read_until(b'\n', &mut Vec::new());
                stream.write_all(refusal).unwrap();
                if !closes {
                    let _ = std::io::copy(&mut reader, &mut std::io::sink());
                }
            });
            let mut plan = plan(&server, Mode::PingPong { window: 1 });
            plan.drain = Duration::from_millis(300);
            let report = run(&plan);
            let context = format!("closes: {closes} {:?} {:?}", report.verify, report.error_lines);
            assert_eq!(report.error_lines["too_many_connections"], 4, "{context}");
            assert_eq!((report.verify.error_replies, report.latency_us.count), (0, 0), "{context}");
            if closes {
                assert_eq!(verdict(&report), RunVerdict::ConnectionsFailed, "{context}");
                assert_eq!(report.connections.closed_early, 4, "{context}");
                assert_eq!((report.verify.missing, report.verify.unanswered), (0, 4), "{context}");
            } else {
                assert_eq!(verdict(&report), RunVerdict::WrongReplies, "{context}");
                assert_eq!((report.verify.missing, report.verify.unanswered), (4, 0), "{context}");
            }
        }
    }
}

#[test]
fn an_error_line_to_no_line_fails_verification_too() {
    let server = LineServer::with(|stream| {
        let mut writer = stream.try_clone().unwrap();
        writer.write_all(b"ERR timeout\n").unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    });
    let report = run(&plan(&server, Mode::Idle));
    assert_eq!(verdict(&report), RunVerdict::WrongReplies, "{:?}", report.verify);
    assert_eq!(report.verify.error_replies, 4, "{:?}", report.verify);
    assert_eq!((report.verify.missing, report.verify.mismatched), (0, 0), "{:?}", report.verify);
    assert_eq!(report.latency_us.count, 4, "the replies: {:?}", report.latency_us);
}

#[test]
fn one_line_of_one_connection_decides() {
    for (server, expected) in [
        (LineServer::echo(), RunVerdict::Clean),
        (always(b"ERR timeout\n"), RunVerdict::WrongReplies),
        (always(b"wrong\n"), RunVerdict::WrongReplies),
        (silent(), RunVerdict::WrongReplies),
    ] {
        let mut plan = plan(&server, Mode::Paced { rate: 0.1 });
        plan.connections = 1;
        plan.drain = Duration::from_secs(if expected == RunVerdict::Clean { 60 } else { 1 });
        let report = run(&plan);
        assert_eq!(report.lines.sent, 1);
        assert_eq!(verdict(&report), expected, "{:?}", report.verify);
    }
}

/// `--assert 'p99<10ms'` held on a server that never answers, and in idle mode: the p99 of nothing was
/// taken for 0 ns.
#[test]
fn an_assertion_about_no_samples_is_missed() {
    let server = silent();
    for mode in MODES {
        let mut plan = plan(&server, mode);
        plan.verify = false;
        plan.drain = Duration::from_millis(200);
        let report = run(&plan);
        assert_eq!(verdict(&report), RunVerdict::Clean, "{mode:?}");
        for figure in [
            "p99<10ms",
            "after_ramp.max<1s",
            "service.p50<1s",
            "response.mean>=0s",
            "jain>0.9",
            "mismatched==0",
        ] {
            let sentence = missed(&report, figure).unwrap_or_default();
            assert!(sentence.contains("no samples"), "{mode:?} {figure}: {sentence}");
        }
        for measured in ["connect.p99<60s", "spread.max==0", "after_ramp.lines_per_second==0"] {
            assert_eq!(missed(&report, measured), None, "{mode:?}");
        }
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["latency_us"]["count"], &json["latency_us"]["p99"]),
            (&0.into(), &0.into())
        );
        let text = report.text().to_string();
        let p99 = text.lines().find(|line| line.trim_start().starts_with("p99 ")).unwrap();
        assert_eq!(p99.split_whitespace().collect::<Vec<_>>(), ["p99", "-", "-"], "{text}");
    }
    let idle = run(&plan(&LineServer::echo(), Mode::Idle));
    assert_eq!(missed(&idle, "p99<60s"), None, "the lines at the end were timed");
    assert!(missed(&idle, "after_ramp.p99<60s").is_some(), "but none before");
}
