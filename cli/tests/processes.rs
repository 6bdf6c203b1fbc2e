//! Several processes behind one port, which clients and operators see as one server.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::process::Command;

use rustix::process::Signal;
use towline_test_support::{ServerProcess, TempFile, has_ended, refusal, signal, wait_until};

const ACTIVE: &str = "towline_connections_active";
const LOST: &str = "towline_connections_closed_total{reason=\"worker_lost\"}";

fn start(flags: &[&str]) -> ServerProcess {
    ServerProcess::start(&[], &[&["--processes", "3"], flags].concat())
}

#[test]
fn several_processes_share_the_connections_and_report_as_one_server() {
    let server = start(&["--threads", "1", "--log-level", "warn"]);
    let open = server.connect_many(9);
    assert_eq!(server.metric(ACTIVE), 9.0);
    assert_eq!(server.metric("towline_connections_accepted_total"), 9.0);
    assert_eq!(server.metric("towline_lines_processed_total{result=\"ok\"}"), 9.0);
    let of_worker = |worker| format!("towline_worker_connections{{worker=\"{worker}\"}}");
    for worker in 0..3 {
        assert_eq!(
            server.metric(&of_worker(worker)),
            3.0,
            "each connection goes to the worker with the fewest"
        );
    }
    server.metrics().assert_connections_add_up();
    assert_eq!(server.workers().len(), 3);
    drop(open);
    server.metric_when(ACTIVE, |active| active == 0.0);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn a_worker_that_receives_sigterm_finishes_its_connections_and_is_replaced() {
    let server = start(&["--threads", "1"]);
    let mut open = server.connect_many(9);
    let stopped = server.workers()[0];
    signal(stopped, Signal::TERM);
    let mut closed = 0;
    wait_until("three orderly closes", || {
        let before = open.len();
        open.retain_mut(|client| client.ended().is_none_or(|end| end.is_err()));
        closed += before - open.len();
        closed == 3
    });
    wait_until("the exit of the worker", || has_ended(stopped));
    wait_until("another worker", || server.workers().len() == 3);
    for stream in &mut open {
        stream.ask("still\n", "still\n");
    }
    assert_eq!(server.metric(LOST), 0.0);
    server.metrics().assert_connections_add_up();
    server.signal(Signal::TERM);
    drop(open);
    assert_eq!(server.end().code, 0);
}

#[test]
fn a_drain_reaches_all_processes() {
    let server = start(&["--drain-deadline", "1s", "--log-level", "error"]);
    // The clients never close their side, so the connections linger and none is cut.
    let _open = server.connect_many(4);
    let workers = server.workers();
    server.signal(Signal::INT);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(workers.into_iter().all(has_ended));
}

#[test]
fn a_reload_reaches_all_processes_and_their_replacements() {
    let file = TempFile::new("[workload]\nkind = \"echo\"\n");
    let server = start(&["--threads", "1", "--config", file.name()]);
    let mut open = server.connect_many(3);
    file.write("[workload]\nkind = \"sha256\"\n");
    server.signal(Signal::HUP);
    server.metric_when("towline_config_reloads_total{result=\"ok\"}", |reloads| reloads == 1.0);
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    for stream in &mut open {
        stream.ask("abc\n", ABC);
    }
    signal(server.workers()[0], Signal::KILL);
    server.metric_when("towline_worker_restarts_total{worker=\"0\"}", |restarts| restarts == 1.0);
    for _ in 0..6 {
        server.connect().ask("abc\n", ABC);
    }
}

#[test]
fn the_limit_of_connections_is_one_for_all_processes() {
    let server = start(&["--max-connections", "4", "--admission", "reject"]);
    let open = server.connect_many(4);
    server.connect().expect_end("ERR too many connections\n");
    drop(open);
    server.metric_when(ACTIVE, |active| active == 0.0);
    server.connect_many(4);
}

#[test]
fn auto_starts_as_many_processes_as_the_descriptor_limit_requires() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 150; exec \"$0\" \"$@\""]);
    let flags =
        ["serve", "--processes", "auto", "--max-connections", "200", "--log-level", "error"];
    let server = ServerProcess::start_by(&mut shell, &flags);
    assert!(server.workers().len() >= 3);
    let open = server.connect_many(200);
    assert_eq!(server.metric(ACTIVE), 200.0);
    server.metrics().assert_connections_add_up();
    drop(open);
}

#[test]
fn more_connections_than_all_processes_have_descriptors_for_is_an_error_that_says_what_to_do() {
    const FLAGS: [[&str; 2]; 3] =
        [["--max-connections", "4000000000"], ["--processes", "2"], ["--log-level", "error"]];
    let error = refusal(FLAGS.as_flattened());
    assert!(error.starts_with("limits.connections = 4000000000 is more than this host"), "{error}");
    assert!(error.contains("in 2 processes"), "{error}");
}

/// Several listening sockets can share a port, of several servers too: a second server on the same
/// address got half of the first one's connections instead of an error.
#[test]
fn an_address_served_by_several_processes_is_in_use() {
    let server = start(&[]);
    let address = server.lines().to_string();
    for processes in ["1", "2"] {
        let arguments = ["--admin", "off", "--log-level", "error", "--processes", processes];
        let error = refusal(&[&arguments[..], &["--listen", &address]].concat());
        assert!(error.contains("in use by another process"), "{error}");
    }
}

#[test]
fn a_worker_without_a_supervisor_is_an_error() {
    let error = refusal(&["worker"]);
    assert!(error.starts_with("a worker is started by `towline serve --processes`"), "{error}");
}
