//! Signals under load, and the exit codes.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{Read as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rustix::process::Signal;
use towline_test_support::{Client, ServerProcess, signal, wait_until};

/// Sends numbered lines, `pipelined` at a time, until the server closes in order. Checks that the replies
/// are the first of them, in order and whole, and returns how many came.
///
/// Waits for the beginning of the first reply: a server that drains before it has read anything closes without
/// one, which looks like a reply that was cut.
fn verify_until_closed(stream: Client, pipelined: usize) -> JoinHandle<usize> {
    let mut sending = stream.try_clone().unwrap();
    let closed = Arc::new(AtomicBool::new(false));
    let sender_closed = closed.clone();
    thread::spawn(move || {
        for first in (0..).step_by(pipelined) {
            let batch: String = (first..first + pipelined).map(|n| format!("{n}\n")).collect();
            if sender_closed.load(SeqCst) || sending.write_all(batch.as_bytes()).is_err() {
                return;
            }
        }
    });
    let (begun, begins) = mpsc::sync_channel(1);
    let verifying = thread::spawn(move || {
        let mut receiving = stream;
        let mut first = [0];
        receiving.read_exact(&mut first).unwrap();
        begun.send(()).unwrap();
        let mut answer = String::from_utf8(first.into()).unwrap();
        receiving.read_to_string(&mut answer).unwrap();
        closed.store(true, SeqCst);
        let _ = receiving.shutdown(std::net::Shutdown::Both);
        assert!(answer.ends_with('\n'), "a reply was cut");
        for (expected, line) in answer.lines().enumerate() {
            assert_eq!(line, expected.to_string());
        }
        answer.lines().count()
    });
    begins.recv().unwrap();
    verifying
}

/// A client that sends until every buffer is full, and never reads.
fn stuck(server: &ServerProcess) -> Client {
    let mut client = server.connect();
    client.send_until_stuck();
    client
}

#[test]
fn fault_26_sigterm_under_load_answers_every_line_that_was_read_and_exits_with_0() {
    let server = ServerProcess::start(&[], &["--threads", "2", "--log-level", "error"]);
    let clients: Vec<_> = [1, 3, 50, 1000]
        .into_iter()
        .map(|pipelined| verify_until_closed(server.connect(), pipelined))
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
fn fault_27_with_a_stuck_client_it_exits_with_1_at_the_deadline_and_others_lose_nothing() {
    let arguments = ["--threads", "1", "--drain-deadline", "400ms", "--log-level", "error"];
    let server = ServerProcess::start(&[], &arguments);
    let _stuck = stuck(&server);
    let good = verify_until_closed(server.connect(), 10);
    thread::sleep(Duration::from_millis(200));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 1, "{run:?}");
    assert_eq!(run.stderr, "towline: 1 connection was cut before it was finished\n");
    assert!(good.join().unwrap() > 0);
}

/// SIGQUIT kept its default action: the process dumped core in the middle of a line, although operators
/// of other servers send it for a drain.
#[test]
fn fault_28_sigquit_answers_every_line_that_was_read_and_exits_with_0() {
    let server = ServerProcess::start(&[], &["--threads", "2", "--log-level", "error"]);
    let client = verify_until_closed(server.connect(), 50);
    thread::sleep(Duration::from_millis(100));
    server.signal(Signal::QUIT);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(client.join().unwrap() > 0);
}

#[test]
fn fault_28_a_second_signal_ends_the_drain_at_once_with_exit_code_1() {
    for (first, second) in [
        (Signal::TERM, Signal::TERM),
        (Signal::TERM, Signal::INT),
        (Signal::TERM, Signal::QUIT),
        (Signal::QUIT, Signal::TERM),
    ] {
        let arguments = ["--threads", "1", "--drain-deadline", "1h", "--log-level", "warn"];
        let server =
            ServerProcess::start(&[], &[&arguments[..], &["--write-timeout", "off"]].concat());
        let _stuck = stuck(&server);
        server.signal(first);
        wait_until("the drain", || server.get("/readyz") == "draining\n");
        server.signal(second);
        let run = server.end();
        assert_eq!(run.code, 1, "{run:?}");
        assert!(run.stderr.contains("second signal"), "{run:?}");
        assert!(run.stderr.ends_with("1 connection was cut before it was finished\n"), "{run:?}");
    }
}

/// Other servers open their logs again at SIGUSR1, and a timer can outlive the exec(2) of the program
/// that set it. The default action of each of these signals is to end the process: every connection was
/// cut.
#[test]
fn fault_28_signals_that_mean_nothing_to_a_server_end_no_process_of_it() {
    const IGNORED: [Signal; 9] = [
        Signal::USR1,
        Signal::USR2,
        Signal::PIPE,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::XCPU,
        Signal::XFSZ,
    ];
    for processes in ["1", "2"] {
        let server = ServerProcess::start(&[], &["--threads", "1", "--processes", processes]);
        let clients = [1, 50].map(|pipelined| verify_until_closed(server.connect(), pipelined));
        for ignored in IGNORED {
            server.workers().into_iter().for_each(|worker| signal(worker, ignored));
            server.signal(ignored);
            server.connect().ask("still\n", "still\n");
        }
        server.signal(Signal::TERM);
        let run = server.end();
        assert_eq!(run.code, 0, "{run:?}");
        assert!(!run.stderr.contains("lost"), "{run:?}");
        for client in clients {
            assert!(client.join().unwrap() > 0);
        }
    }
}
