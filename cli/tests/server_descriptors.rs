//! A server that runs out of descriptors, and one whose accept(2) fails: it serves on, says so, does
//! not spin, and recovers.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{
    env, fs,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use server::{Server, exchange, expect};

/// Series by name, from one scrape.
fn metric(server: &Server, series: &str) -> f64 {
    let body = server.get("/metrics");
    let value = body.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("there is no {series} in {body}")).parse().unwrap()
}

fn limit_descriptors(server: &Server, descriptors: u64) {
    let limit = Rlimit { current: Some(descriptors), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(Some(Pid::from_child(server.process())), Resource::Nofile, limit).unwrap();
}

fn open_descriptors(server: &Server) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", server.process().id())).unwrap().count() as u64
}

#[test]
fn fault_15_without_descriptors_it_serves_whom_it_has_answers_scrapes_and_recovers() {
    let server = Server::start(&[], &["--threads", "1", "--log-level", "warn"]);
    let mut early = server.connect();
    exchange(&mut early, "early\n", "early\n");
    let errors = "towline_accept_errors_total{errno=\"EMFILE\"}";
    assert_eq!(metric(&server, errors), 0.0);

    let begun = SystemTime::now();
    limit_descriptors(&server, open_descriptors(&server) + 5);
    let mut late: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut late {
        std::io::Write::write_all(stream, b"late\n").unwrap();
    }
    while metric(&server, errors) < 4.0 {
        thread::sleep(Duration::from_millis(10));
    }
    for _ in 0..20 {
        exchange(&mut early, "still\n", "still\n");
        assert!(metric(&server, "process_resident_memory_bytes") > 0.0);
    }
    // The pause doubles from 5 ms to a second, so there are never many attempts: 9 in the first
    // two seconds. A server that spins makes a hundred thousand.
    let before = metric(&server, errors);
    thread::sleep(Duration::from_millis(500));
    let attempts = metric(&server, errors) - before;
    assert!(attempts <= 8.0, "{attempts} attempts in a moment");

    limit_descriptors(&server, 1000);
    for stream in &mut late {
        expect(stream, "late\n");
    }
    drop((early, late));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    // A descriptor that frees lets one more in, and then there is none again: that is no news.
    let told = run.stderr.matches("cannot accept").count() as u64;
    assert!((1..=1 + begun.elapsed().unwrap().as_secs()).contains(&told), "{run:?}");
}

#[test]
fn fault_15_the_limit_is_derived_from_descriptors_so_that_they_do_not_run_out() {
    let shell = "ulimit -n 100 && exec \"$0\" \"$@\"";
    let server = Server::start_by(Command::new("sh").args(["-c", shell]), &["--threads", "1"]);
    assert_eq!(metric(&server, "towline_connections_limit"), 32.0);
    let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for stream in &mut streams[..32] {
        exchange(stream, "in\n", "in\n");
    }
    assert_eq!(metric(&server, "towline_accept_queue_length"), 8.0);
    assert_eq!(metric(&server, "towline_accept_errors_total{errno=\"EMFILE\"}"), 0.0);
}

/// Runs the server under strace, which makes some of its calls to accept fail.
fn with_failing_accept(error: &str, check: impl FnOnce(&Server)) {
    let inject = format!("inject=accept4:error={error}:when=2+2");
    let mut strace = Command::new("strace");
    // With -D the server is this process's child, and strace is on the side.
    strace.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=accept4", "-e", &inject]);
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(env::var_os("CI").is_none(), "strace is missing, so nothing was tested");
        eprintln!("skipped: there is no strace");
        return;
    }
    check(&Server::start_by(&mut strace, &["--threads", "1"]));
}

#[test]
fn fault_15_and_16_every_other_accept_may_fail_and_everybody_is_served() {
    for error in ["EMFILE", "ENOMEM", "ECONNABORTED"] {
        with_failing_accept(error, |server| {
            for _ in 0..6 {
                exchange(&mut server.connect(), "line\n", "line\n");
            }
            let errors = format!("towline_accept_errors_total{{errno=\"{error}\"}}");
            assert!(metric(server, &errors) > 0.0, "{error}");
        });
    }
}
