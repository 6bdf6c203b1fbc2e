//! What goes wrong outside the lines: targets that refuse, servers that leave, plans that cannot be.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use support::{LineServer, run};
use towline_load::{InFlightLimit, Mode, Plan, RunOptions, RunVerdict, SourceAddrs, TargetAddr};

#[test]
fn a_refusing_target_is_named() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut plan = Plan::new(address.into());
    plan.connections = 10;
    let report = run(&plan);
    assert_eq!((report.connections.failed, report.connections.established), (10, 0));
    assert_eq!((report.errors.connect, report.connect_errors["refused"]), (10, 10));
    let (verdict, sentences) = report.verdict(&[]);
    assert_eq!(verdict, RunVerdict::ConnectionsFailed);
    assert!(sentences[0].contains(&format!("{address} refused")), "{sentences:?}");
    assert!(report.seconds < 5.0, "nothing to wait for: {} s", report.seconds);
}

#[test]
fn a_server_that_closes_midway_ends_the_run_and_keeps_its_figures() {
    let server = LineServer::with(|stream| {
        let mut writer = stream.try_clone().unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok).take(20) {
            writer.write_all(format!("{line}\n").as_bytes()).unwrap();
        }
    });
    let mut plan = server.plan(Mode::PingPong { window: 1 });
    plan.duration = Duration::from_secs(60);
    let report = run(&plan);
    assert!(report.seconds < 30.0, "no connection is left: {} s", report.seconds);
    assert_eq!(report.connections.closed_early, 4);
    assert_eq!(report.lines.received, 80);
    assert_eq!(report.verify.mismatched + report.verify.missing, 0, "{:?}", report.verify);
    assert_eq!(report.verdict(&[]).0, RunVerdict::ConnectionsFailed);
}

#[test]
fn an_interrupt_drains_and_reports() {
    let server = LineServer::echo();
    let mut plan = server.plan(Mode::Flood);
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
fn a_server_that_never_reads_does_not_hold_the_run() {
    let server = LineServer::with(|_stream| thread::sleep(Duration::from_secs(60)));
    let mut plan = server.plan(Mode::Flood);
    plan.drain = Duration::from_millis(200);
    let report = run(&plan);
    assert!(report.bytes.sent > 0);
    assert_eq!(report.lines.received, 0);
    assert!(report.verify.unanswered > 0, "{:?}", report.verify);
}

#[test]
fn a_flood_keeps_within_its_bound_of_bytes_in_flight() {
    let server = LineServer::with(|mut stream| {
        // Reads everything, replies to nothing.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let mut plan = server.plan(Mode::Flood);
    plan.drain = Duration::ZERO;
    plan.message = "0123456789abcde\\n".to_owned();
    plan.in_flight = InFlightLimit::Bytes(10_000);
    let bounded = run(&plan);
    // One write beyond the bound at most, and that no larger than the bound.
    assert!((4..=4 * 20_000).contains(&bounded.bytes.sent), "{}", bounded.bytes.sent);
    assert!(bounded.notes.iter().any(|n| n.contains("--in-flight off")), "{:?}", bounded.notes);
    plan.in_flight = InFlightLimit::Off;
    assert!(run(&plan).bytes.sent > 4 * 20_000);

    let server = LineServer::echo();
    let mut plan = server.plan(Mode::Flood);
    plan.in_flight = InFlightLimit::Bytes(1);
    let least = run(&plan);
    assert_eq!(least.verdict(&[]).0, RunVerdict::Clean, "{:?}", least.verify);
    assert!(least.lines.received > 8, "even one line at a time goes on: {:?}", least.lines);
}

#[test]
fn connections_come_at_their_rate() {
    let server = LineServer::echo();
    let mut plan = server.plan(Mode::Idle);
    plan.connections = 100;
    plan.connect_rate = Some(200.0);
    let report = run(&plan);
    assert_eq!(report.connections.established, 100);
    // The hundredth is due 99 / 200 of a second after the first, and cannot come sooner.
    assert!(report.ramp_seconds >= 0.495, "{} s", report.ramp_seconds);
}

#[test]
fn connections_come_from_the_addresses_named() {
    let others = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&others);
    let server = LineServer::with(move |mut stream| {
        let peer = stream.peer_addr().unwrap().ip();
        if [Ipv4Addr::new(127, 0, 5, 1), Ipv4Addr::new(127, 0, 5, 2)].iter().any(|a| peer == *a) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let mut line = [0; 64];
        while let Ok(n @ 1..) = stream.read(&mut line) {
            stream.write_all(&line[..n]).unwrap();
        }
    });
    let mut plan = server.plan(Mode::Idle);
    plan.sources = SourceAddrs::parse("127.0.5.0/30").unwrap();
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.notes);
    assert_eq!(others.load(Ordering::Relaxed), 4);
}

#[test]
fn fault_41_a_source_this_host_does_not_have_is_named() {
    let server = LineServer::echo();
    let mut plan = server.plan(Mode::Idle);
    plan.sources = SourceAddrs::parse("192.0.2.77").unwrap();
    let report = run(&plan);
    assert_eq!(report.connections.failed, 4);
    assert_eq!(report.connect_errors.get("no_address"), Some(&4), "{:?}", report.connect_errors);
}

#[test]
fn plans_that_cannot_be_are_refused_with_a_reason() {
    let target = || TargetAddr::resolve("127.0.0.1:9").unwrap();
    let wrong = |change: fn(&mut Plan)| {
        let mut plan = Plan::new(target());
        change(&mut plan);
        let error = plan.check().unwrap_err();
        assert_eq!(error.exit_code(), 2, "{error}");
        error.to_string()
    };
    assert!(wrong(|p| p.message = "ping".into()).contains("newline"));
    assert!(wrong(|p| p.message = String::new()).contains("empty"));
    assert!(wrong(|p| p.connections = 0).contains("at least 1"));
    assert!(wrong(|p| p.duration = Duration::ZERO).contains("duration"));
    assert!(wrong(|p| p.mode = Mode::PingPong { window: 0 }).contains("window"));
    assert!(wrong(|p| p.processes = Some(0)).contains("processes"));
    assert!(
        wrong(|p| p.mix = towline_load::BehaviorGroup::parse_mix("churn=3").unwrap())
            .contains("mix")
    );
    let too_many = wrong(|p| {
        p.connections = 2_000_000_000;
        p.processes = Some(1);
    });
    assert!(too_many.contains("descriptors") && too_many.contains("--processes"), "{too_many}");
}

#[test]
fn a_unix_socket_is_a_target_too() {
    let path = std::env::temp_dir().join(format!("towline-load-{}.sock", std::process::id()));
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut writer = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = writer.write_all(format!("{line}\n").as_bytes());
                }
            });
        }
    });
    let mut plan = Plan::new(TargetAddr::Unix(path.clone()));
    plan.connections = 200;
    plan.verify = true;
    plan.duration = Duration::from_millis(200);
    let report = run(&plan);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?} {:?}", report.notes, report.verify);
    assert_eq!(report.connections.established, 200);
}
