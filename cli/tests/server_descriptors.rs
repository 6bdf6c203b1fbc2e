//! A server that runs out of descriptors: it serves on, says so, does not spin, and recovers.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{
    fs,
    io::Write as _,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, prlimit};
use server::{Server, TOO_MANY, answer, exchange, expect};

fn limit_descriptors(server: &Server, descriptors: u64) {
    let limit = Rlimit { current: Some(descriptors), maximum: getrlimit(Resource::Nofile).maximum };
    prlimit(Some(Pid::from_child(server.process())), Resource::Nofile, limit).unwrap();
}

fn open_descriptors(server: &Server) -> u64 {
    fs::read_dir(format!("/proc/{}/fd", server.process().id())).unwrap().count() as u64
}

const REFUSED: &str = "towline_connections_rejected_total{reason=\"fd_exhausted\"}";
const EMFILE: &str = "towline_accept_errors_total{errno=\"EMFILE\"}";

#[test]
fn fault_15_without_descriptors_peers_are_told_so_others_are_served_and_scrapes_answered() {
    let server = Server::start(&[], &["--threads", "1", "--log-level", "warn"]);
    let mut early = server.connect();
    exchange(&mut early, "early\n", "early\n");
    assert_eq!(server.metric(REFUSED), 0.0);

    let begun = SystemTime::now();
    limit_descriptors(&server, open_descriptors(&server) + 5);
    let (mut served, mut refused) = (Vec::new(), 0);
    for sent in [0, 5, 50_000].repeat(20) {
        let mut stream = server.connect();
        // The line must arrive whatever the peer has said by then. The goodbye may overtake it.
        let _ = stream.write_all(&vec![b'x'; sent]);
        let _ = stream.write_all(b"\n");
        match answer(&mut stream) {
            line if line == TOO_MANY => refused += 1,
            line if line.len() == sent + 1 => served.push(stream),
            other => panic!("{other:?}"),
        }
    }
    assert!(refused >= 50, "{refused} refused");
    assert_eq!(server.metric(REFUSED), f64::from(refused));
    for _ in 0..20 {
        exchange(&mut early, "still\n", "still\n");
        assert!(server.metric("process_resident_memory_bytes") > 0.0);
    }
    // With nobody left waiting there is nothing to try again.
    let attempts = server.metric(EMFILE);
    thread::sleep(Duration::from_millis(300));
    assert_eq!(server.metric(EMFILE), attempts);

    // A place that is freed is used.
    drop(served.pop().unwrap());
    while server.metric("towline_connections_active") > served.len() as f64 + 1.0 {
        thread::sleep(Duration::from_millis(10));
    }
    // The scrape itself had the descriptor a moment ago, and its peer saw the end before the close.
    let let_in = (0..200).any(|_| {
        let mut stream = server.connect();
        let _ = stream.write_all(b"a place\n");
        let answer = answer(&mut stream);
        thread::sleep(Duration::from_millis(10));
        answer == "a place\n"
    });
    assert!(let_in);

    limit_descriptors(&server, 1000);
    for _ in 0..20 {
        let mut late = server.connect();
        exchange(&mut late, "late\n", "late\n");
        served.push(late);
    }
    drop((early, served));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    // A refused connection, or one that ends and lets another in, is no news.
    let told = run.stderr.matches("no descriptor left").count() as u64;
    assert!((1..=1 + begun.elapsed().unwrap().as_secs() / 5).contains(&told), "{run:?}");
}

/// The limit fell below the number of the spare descriptor, so that cannot be swapped either.
#[test]
fn fault_15_where_the_spare_is_of_no_use_peers_wait_without_a_spin_and_are_served_later() {
    let server = Server::start(&[], &["--threads", "1", "--log-level", "warn"]);
    exchange(&mut server.connect(), "early\n", "early\n");
    let begun = SystemTime::now();
    limit_descriptors(&server, 3);
    let mut late: Vec<_> = (0..20).map(|_| server.connect()).collect();
    for stream in &mut late {
        stream.write_all(b"late\n").unwrap();
    }
    thread::sleep(Duration::from_millis(500));
    limit_descriptors(&server, 1000);
    let short = begun.elapsed().unwrap().as_secs_f64();
    for stream in &mut late {
        expect(stream, "late\n");
    }
    // The pause doubles from 5 ms to a second: 9 attempts in the first two seconds, each with and
    // without the spare. A server that spins makes a hundred thousand.
    let attempts = server.metric(EMFILE);
    assert!((1.0..=2.0 * (10.0 + short)).contains(&attempts), "{attempts} in {short} s");
    drop(late);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.matches("cannot accept").count()), (0, 1), "{run:?}");
}

#[test]
fn fault_15_the_limit_is_derived_from_descriptors_so_that_they_do_not_run_out() {
    let shell = "ulimit -n 100 && exec \"$0\" \"$@\"";
    let server = Server::start_by(Command::new("sh").args(["-c", shell]), &["--threads", "1"]);
    assert_eq!(server.metric("towline_connections_limit"), 32.0);
    let mut streams: Vec<_> = (0..40).map(|_| server.connect()).collect();
    for stream in &mut streams[..32] {
        exchange(stream, "in\n", "in\n");
    }
    assert_eq!(server.metric("towline_accept_queue_length"), 8.0);
    assert_eq!(server.metric(EMFILE), 0.0);
}
