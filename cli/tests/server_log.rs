//! A log that nobody reads: the server goes on.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{io::Read as _, thread};

use rustix::process::Signal;
use server::{Server, exchange};

/// More lines than the pipe and the queue before it hold, one for each connection that ends.
const FLOOD: u64 = 7000;

fn flooded() -> Server {
    let server = Server::start(&[], &["--threads", "1", "--log-level", "trace"]);
    let mut witness = server.connect();
    for _ in 0..FLOOD {
        exchange(&mut server.connect(), "a\n", "a\n");
    }
    exchange(&mut witness, "still served\n", "still served\n");
    server
}

/// A line was written to standard error by the thread that had something to say, and once the pipe
/// was full that thread waited for the reader, and all its connections with it.
#[test]
fn fault_44_a_stopped_reader_of_the_log_holds_up_no_connection_and_not_the_end() {
    let server = flooded();
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 0);
}

#[test]
fn fault_44_log_lines_that_were_dropped_are_counted_and_told() {
    let mut server = flooded();
    let mut log = server.log();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 0);
    let log = reader.join().unwrap();
    let (told, written): (Vec<_>, Vec<_>) =
        log.lines().partition(|line| line.contains("log lines dropped"));
    let dropped = told.iter().map(|line| line.rsplit_once("lines=").unwrap().1.parse::<u64>());
    let dropped: u64 = dropped.map(Result::unwrap).sum();
    assert!(dropped > 0, "{} lines were written", written.len());
    assert!(written.len() as u64 + dropped >= FLOOD, "{} and {dropped}", written.len());
}
