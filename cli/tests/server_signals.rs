//! Signals under load, and what the exit code says about them.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use server::Server;

/// Sends numbered lines and checks that what comes back are the first of them, in order and whole,
/// and that the end is an orderly one. Returns how many.
fn verify_until_the_end(stream: TcpStream, pipelined: usize) -> JoinHandle<usize> {
    let mut sending = stream.try_clone().unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let sender_over = over.clone();
    thread::spawn(move || {
        for first in (0..).step_by(pipelined) {
            let batch: String = (first..first + pipelined).map(|n| format!("{n}\n")).collect();
            if sender_over.load(SeqCst) || sending.write_all(batch.as_bytes()).is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        let mut receiving = stream;
        let mut answer = String::new();
        receiving.read_to_string(&mut answer).unwrap();
        over.store(true, SeqCst);
        let _ = receiving.shutdown(std::net::Shutdown::Both);
        assert!(answer.ends_with('\n'), "a reply was cut in two");
        for (expected, line) in answer.lines().enumerate() {
            assert_eq!(line, expected.to_string());
        }
        answer.lines().count()
    })
}

/// A peer that sends until neither side takes more, and never reads.
fn stuck(server: &Server) -> TcpStream {
    let mut peer = server.connect();
    peer.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let flood = "ping\n".repeat(10_000);
    while peer.write_all(flood.as_bytes()).is_ok() {}
    peer
}

#[test]
fn fault_26_sigterm_under_load_answers_every_line_it_took_and_ends_with_0() {
    let server = Server::start(&[], &["--threads", "2", "--log-level", "error"]);
    let clients: Vec<_> = [1, 3, 50, 1000]
        .into_iter()
        .map(|pipelined| verify_until_the_end(server.connect(), pipelined))
        .collect();
    thread::sleep(Duration::from_millis(300));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    for client in clients {
        assert!(client.join().unwrap() > 0);
    }
}

#[test]
fn fault_27_a_stuck_peer_makes_it_1_at_the_deadline_and_the_others_lose_nothing() {
    let arguments = ["--threads", "1", "--drain-deadline", "400ms", "--log-level", "error"];
    let server = Server::start(&[], &arguments);
    let _stuck = stuck(&server);
    let good = verify_until_the_end(server.connect(), 10);
    thread::sleep(Duration::from_millis(200));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.stderr, "towline: 1 connection was cut before it was finished\n");
    assert!(good.join().unwrap() > 0);
}

/// SIGQUIT kept its default: the process dumped core in the middle of a line, although whoever knows
/// other servers sends it to have them finish.
#[test]
fn fault_28_sigquit_answers_every_line_it_took_and_ends_with_0() {
    let server = Server::start(&[], &["--threads", "2", "--log-level", "error"]);
    let client = verify_until_the_end(server.connect(), 50);
    thread::sleep(Duration::from_millis(100));
    server.signal(Signal::QUIT);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(client.join().unwrap() > 0);
}

#[test]
fn fault_28_a_second_signal_ends_it_at_once_with_1() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::TERM, Signal::INT),
        (Signal::TERM, Signal::QUIT),
        (Signal::QUIT, Signal::TERM),
    ] {
        let arguments = ["--threads", "1", "--drain-deadline", "1h", "--log-level", "warn"];
        let server = Server::start(&[], &[&arguments[..], &["--write-timeout", "off"]].concat());
        let _stuck = stuck(&server);
        server.signal(first);
        while server.get("/readyz") != "draining\n" {
            thread::sleep(Duration::from_millis(5));
        }
        server.signal(second);
        let run = server.end();
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("second signal"), "{run:?}");
        assert!(run.stderr.ends_with("1 connection was cut before it was finished\n"), "{run:?}");
    }
}
