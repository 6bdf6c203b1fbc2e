//! Reports: JSON, merging, HdrHistogram logs, HTML pages, verdicts.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::time::Duration;

use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use support::{plan_for, run};
use towline_load::{Assertion, Hist, Mode, Report, RunVerdict};
use towline_test_support::LineServer;

fn two_runs() -> (Report, Report) {
    let server = LineServer::echo();
    let one = run(&plan_for(&server, Mode::PingPong { window: 2 }));
    let mut plan = plan_for(&server, Mode::PingPong { window: 2 });
    plan.connections = 7;
    plan.duration = Duration::from_millis(500);
    (one, run(&plan))
}

#[test]
fn json_reads_back_as_the_same_report() {
    let (report, _) = two_runs();
    let text = serde_json::to_string(&report).unwrap();
    let back: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(back.histograms.latency.inner(), report.histograms.latency.inner());
    assert_eq!(back.latency_us.p99, report.latency_us.p99);
    assert_eq!(back.timeline.len(), report.timeline.len());
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for name in [
        "target",
        "mode",
        "message_bytes",
        "connections",
        "ramp_seconds",
        "seconds",
        "lines",
        "bytes",
        "rates",
        "latency_us",
        "verify",
        "errors",
        "generator",
    ] {
        assert!(json.get(name).is_some(), "{name}");
    }
    assert_eq!(json["mode"], "ping-pong");
    assert_eq!(json["message_bytes"], "0:0\n".len());
    let rate = json["lines"]["received"].as_f64().unwrap() / json["seconds"].as_f64().unwrap();
    assert!((json["rates"]["lines_per_second"].as_f64().unwrap() - rate).abs() < 1e-6 * rate);
}

#[test]
fn merging_adds_counts_and_histograms_exactly() {
    let (one, two) = two_runs();
    let both = Report::merge(&[one.clone(), two.clone()]).unwrap();
    assert_eq!(both.lines.received, one.lines.received + two.lines.received);
    assert_eq!(both.connections.established, 11);
    assert_eq!(both.latency_us.count, one.latency_us.count + two.latency_us.count);
    assert_eq!(both.latency_us.max, one.latency_us.max.max(two.latency_us.max));
    let mut latency = one.histograms.latency.clone();
    latency.add(&two.histograms.latency);
    assert_eq!(both.histograms.latency.inner(), latency.inner());
    assert_eq!(both.spread.min, one.spread.min.min(two.spread.min));
    assert!((0.0..=1.0).contains(&both.spread.jain));
    let lines = |r: &Report| r.timeline.iter().map(|m| m.lines.received).sum::<u64>();
    assert_eq!(lines(&both), lines(&one) + lines(&two));
    assert!(Report::merge(&[]).is_err());
}

#[test]
fn the_hdr_log_has_every_latency_once() {
    let (report, _) = two_runs();
    let log = report.hdr_log().unwrap();
    let (mut sum, mut last) = (Hist::default(), None);
    for entry in IntervalLogIterator::new(&log) {
        let LogEntry::Interval(interval) = entry.unwrap() else { continue };
        assert!(last < Some(interval.start_timestamp()), "in order");
        last = Some(interval.start_timestamp());
        let text = format!("\"{}\"", interval.encoded_histogram());
        sum.add(&serde_json::from_str(&text).unwrap());
    }
    assert_eq!(sum.inner(), report.histograms.latency.inner());
    let head = String::from_utf8_lossy(&log);
    assert!(head.starts_with("#[Logged with towline load"), "{head}");
}

#[test]
fn the_page_has_no_external_resources() {
    let (report, _) = two_runs();
    let html = report.html();
    assert_eq!(html.matches("<svg").count(), 4, "four plots");
    assert!(html.contains("prefers-color-scheme:dark"));
    for outside in ["http://", "https://", "<script", "src=", "@import", "url("] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(!html.contains("NaN") && !html.contains("inf"), "every figure has a value");
}

#[test]
fn an_empty_report_has_a_page() {
    let html = Report::default().html();
    assert!(html.contains("Nothing to draw"));
}

#[test]
fn assertions_decide_the_verdict() {
    let (report, _) = two_runs();
    let asked = |text: &str| vec![Assertion::parse(text).unwrap()];
    assert_eq!(report.verdict(&asked("p50>0us")).0, RunVerdict::Clean);
    let (verdict, sentences) = report.verdict(&asked("received<10"));
    assert_eq!((verdict, verdict.exit_code()), (RunVerdict::AssertionMissed, 3));
    assert!(sentences[0].contains("received is"), "{sentences:?}");
}

#[test]
fn the_timeline_adds_up_to_the_whole() {
    let (one, two) = two_runs();
    for report in [one, two] {
        let received: u64 = report.timeline.iter().map(|m| m.lines.received).sum();
        assert_eq!(received, report.lines.received);
        assert!(report.after_ramp.lines.received <= report.lines.received);
        assert!(report.after_ramp.seconds <= report.seconds);
        assert_eq!(report.timeline[1].connections, report.connections.established);
    }
}
