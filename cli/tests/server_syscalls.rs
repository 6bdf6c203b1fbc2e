//! A server with failing system calls, injected by strace.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::io::{BufRead as _, BufReader};

use rustix::process::Signal;
use towline_test_support::{ServerProcess, http, wait_for};

const TOO_MANY: &str = "ERR too many connections\n";
const ONE_THREAD: [&str; 2] = ["--threads", "1"];

/// System calls of the admin endpoint fail as well, so a scrape may need another try.
fn metric(server: &ServerProcess, series: &str) -> f64 {
    wait_for("a scrape", || http::try_scrape(server.admin())).get(series)
}

#[test]
fn fault_15_if_every_other_accept_lacks_descriptors_every_client_is_answered() {
    let Some(server) =
        ServerProcess::start_injected(&["accept4:error=ENFILE:when=2+2"], &ONE_THREAD)
    else {
        return;
    };
    let mut rejected = 0;
    for _ in 0..6 {
        let mut stream = server.connect();
        stream.send("line\n");
        match stream.read_line() {
            line if line == TOO_MANY => rejected += 1,
            line => assert_eq!(line, "line\n"),
        }
    }
    assert!(rejected > 0);
    let counted = metric(&server, "towline_connections_rejected_total{reason=\"fd_exhausted\"}");
    assert_eq!(counted, f64::from(rejected));
}

#[test]
fn fault_16_if_every_other_accept_fails_every_client_is_served() {
    for error in ["ENOBUFS", "ENOMEM", "ECONNABORTED"] {
        let inject = format!("accept4:error={error}:when=2+2");
        let Some(server) = ServerProcess::start_injected(&[&inject], &ONE_THREAD) else { return };
        for _ in 0..6 {
            server.connect().ask("line\n", "line\n");
        }
        let errors = format!("towline_accept_errors_total{{errno=\"{error}\"}}");
        assert!(metric(&server, &errors) > 0.0, "{error}");
    }
}

/// At the deadline of a drain, connections that the kernel did not hand over were reset with the listening
/// socket; none was counted, and the exit code was 0.
#[test]
fn fault_26_connections_that_cannot_be_accepted_until_the_deadline_are_counted_as_cut() {
    for processes in ["1", "2"] {
        let flags = ["--processes", processes, "--threads", "1", "--drain-deadline", "500ms"];
        // The accepts of the admin endpoint fail as well, so there is no scrape.
        let Some(server) = ServerProcess::start_injected(&["accept4:error=ENOMEM"], &flags) else {
            return;
        };
        let waiting: Vec<_> = (0..20).map(|_| server.connect()).collect();
        server.signal(Signal::TERM);
        let run = server.end();
        drop(waiting);
        assert_eq!(run.code, 1, "{run:?}");
        for counted in ["connections in the accept queue are reset", "connections cut"] {
            let line = run.stderr.lines().find(|line| line.contains(counted));
            let line = line.unwrap_or_else(|| panic!("not {counted:?}: {run:?}"));
            assert!(line.contains("connections=20"), "{line}");
        }
    }
}

/// Sends a line on each of `connections` connections, one after another. Returns how many had no reply.
fn unanswered(server: &ServerProcess, connections: usize) -> usize {
    let mut silent = 0;
    for _ in 0..connections {
        let mut stream = server.connect();
        // The connection may be closed or reset already.
        let _ = stream.try_send("line\n");
        let mut line = String::new();
        match BufReader::new(&*stream).read_line(&mut line) {
            Ok(1..) => assert_eq!(line, "line\n"),
            Ok(0) | Err(_) => silent += 1,
        }
    }
    silent
}

const IO_ERROR: &str = "towline_connections_closed_total{reason=\"io_error\"}";

#[test]
fn fault_16_a_read_or_write_without_memory_ends_its_own_connection_with_a_reason() {
    for inject in ["recvfrom:error=ENOMEM:when=9+3", "sendto:error=ENOBUFS:when=9+3"] {
        let Some(server) = ServerProcess::start_injected(&[inject], &ONE_THREAD) else { return };
        let failed = unanswered(&server, 40);
        assert!((1..40).contains(&failed), "{inject}: {failed}");
        // A read may also fail after the reply, when the client closes.
        let counted = metric(&server, IO_ERROR) as usize;
        assert!((failed..=40).contains(&counted), "{inject}: {counted} for {failed}");
    }
}

/// Such a connection was dropped without a trace: the metrics had it neither accepted nor closed.
#[test]
fn fault_16_a_connection_that_cannot_be_registered_with_epoll_is_closed_with_a_reason() {
    for error in ["ENOMEM", "ENOSPC"] {
        // From the 21st call on, after those that start the server. Each connection makes two calls, when
        // it is registered and when it is removed; every third call hits both kinds.
        let inject = format!("epoll_ctl:error={error}:when=21+3");
        let Some(server) = ServerProcess::start_injected(&[&inject], &ONE_THREAD) else { return };
        let failed = unanswered(&server, 60);
        assert!(failed > 0, "{error}: none failed");
        assert_eq!(metric(&server, IO_ERROR), failed as f64, "{error}");
        let accepted = metric(&server, "towline_connections_accepted_total");
        assert_eq!(accepted, 60.0, "{error}");
    }
}

/// A system call that a signal interrupts is not an error of the connection.
#[test]
fn fault_43_interrupted_reads_and_writes_are_repeated_and_no_byte_changes() {
    let inject = ["recvfrom:error=EINTR:when=2+2", "sendto:error=EINTR:when=2+2"];
    let Some(server) = ServerProcess::start_injected(&inject, &ONE_THREAD) else { return };
    let mut stream = server.connect();
    for round in 0..50 {
        let lines: String = (0..round).map(|line| format!("{round} {line}\n")).collect();
        stream.ask(&lines, &lines);
    }
    drop(stream);
    assert_eq!(metric(&server, IO_ERROR), 0.0);
}
