//! Connections are made as the plan says, and each kind of failed connect is named.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use support::{plan_for, run};
use towline_load::{Mode, Plan, RunVerdict, SourceAddrs, TargetAddr};
use towline_test_support::LineServer;

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
    assert!(report.seconds < 5.0, "there is no connection to wait for: {} s", report.seconds);
}

#[test]
fn connections_are_made_at_the_connect_rate() {
    let server = LineServer::echo();
    let mut plan = plan_for(&server, Mode::Idle);
    plan.connections = 100;
    plan.connect_rate = Some(200.0);
    let report = run(&plan);
    assert_eq!(report.connections.established, 100);
    // The hundredth connect is due 99 / 200 of a second after the first.
    assert!(report.ramp_seconds >= 0.495, "{} s", report.ramp_seconds);
}

#[test]
fn connections_use_the_given_source_addresses() {
    let matching = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&matching);
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
    let mut plan = plan_for(&server, Mode::Idle);
    plan.sources = SourceAddrs::parse("127.0.5.0/30").unwrap();
    let report = run(&plan);
    assert_eq!(report.verdict(&[]).0, RunVerdict::Clean, "{:?}", report.notes);
    assert_eq!(matching.load(Ordering::Relaxed), 4);
}

#[test]
fn fault_41_a_source_this_host_does_not_have_is_named() {
    let server = LineServer::echo();
    let mut plan = plan_for(&server, Mode::Idle);
    plan.sources = SourceAddrs::parse("192.0.2.77").unwrap();
    let report = run(&plan);
    assert_eq!(report.connections.failed, 4);
    assert_eq!(report.connect_errors.get("no_address"), Some(&4), "{:?}", report.connect_errors);
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
