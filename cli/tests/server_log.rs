//! A log whose reader has stopped, or whose file takes no more.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{fs::File, io::Read as _, process::Command, thread};

use rustix::process::Signal;
use towline_test_support::{ServerProcess, TempFile, wait_until};

/// Connections, and so log lines: more than the pipe and the queue before it hold.
const FLOOD: u64 = 7000;

/// A server whose log is full, and still serves.
fn flooded(flags: &[&str]) -> ServerProcess {
    let server =
        ServerProcess::start(&[], &[&["--threads", "1", "--log-level", "trace"], flags].concat());
    let mut witness = server.connect();
    for _ in 0..FLOOD {
        server.connect().ask("a\n", "a\n");
    }
    witness.ask("still served\n", "still served\n");
    server
}

/// Log lines were once written to standard error by the thread that logged. When the pipe was full,
/// the thread blocked until the reader went on, and all its connections with it.
#[test]
fn fault_44_a_stopped_reader_of_the_log_blocks_neither_connections_nor_the_end() {
    let server = flooded(&[]);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
}

#[test]
fn fault_44_a_failure_ends_with_its_exit_code_though_it_cannot_be_written() {
    let server = flooded(&["--drain-deadline", "300ms"]);
    let mut client = server.connect();
    client.send_until_stuck();
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 1);
}

#[test]
fn fault_44_dropped_log_lines_are_counted_and_reported() {
    let mut server = flooded(&[]);
    let mut log = server.log();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 0);
    let log = reader.join().unwrap();
    let (reports, written): (Vec<_>, Vec<_>) =
        log.lines().partition(|line| line.contains("log lines dropped"));
    let dropped = reports.iter().map(|line| line.rsplit_once("lines=").unwrap().1.parse::<u64>());
    let dropped: u64 = dropped.map(Result::unwrap).sum();
    assert!(dropped > 0, "{} lines were written", written.len());
    assert!(written.len() as u64 + dropped >= FLOOD, "{} and {dropped}", written.len());
}

/// The kernel sent SIGXFSZ to a server whose log file had reached the limit of a file's size, and its
/// default action ended the server in the middle of its lines.
#[test]
fn fault_44_a_log_file_at_its_greatest_size_ends_no_server_and_dropped_lines_are_counted() {
    for processes in ["1", "2"] {
        let file = TempFile::new("");
        let mut shell = Command::new("sh");
        // Two blocks are one KiB or two, by the shell.
        shell.args(["-c", r#"ulimit -f 2; exec "$@" 2>>"$LOG""#, "sh"]).env("LOG", file.name());
        let flags = ["--threads", "1", "--log-level", "trace", "--processes", processes];
        let server = ServerProcess::start_by(&mut shell, &flags);
        let mut witness = server.connect();
        for _ in 0..200 {
            server.connect().ask("a\n", "a\n");
        }
        witness.ask("still served\n", "still served\n");
        let text = || std::fs::read_to_string(file.name()).unwrap();
        assert!(text().len() <= 2048, "{}", text());
        // Rotated, as by `copytruncate`.
        File::options().write(true).open(file.name()).unwrap().set_len(0).unwrap();
        wait_until("a report", || {
            server.connect().ask("a\n", "a\n");
            text().contains("log lines dropped")
        });
        server.signal(Signal::TERM);
        assert_eq!(server.end().code, 0);
    }
}
