//! Several processes behind one port: they are one server to everybody outside.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/processes.rs"]
mod processes;
#[path = "support/server.rs"]
mod server;
mod support;

use std::{io::Read as _, net::TcpStream, process::Command};

use processes::{ACTIVE, LOST, balances, connections, gone, signal, start, wait_until};
use rustix::process::Signal;
use server::{Server, exchange};
use support::{TempFile, refusal};

#[test]
fn several_processes_share_the_connections_and_are_told_of_as_one_server() {
    let server = start(&["--threads", "1", "--log-level", "warn"]);
    let open = connections(&server, 9);
    assert_eq!(server.metric(ACTIVE), 9.0);
    assert_eq!(server.metric("towline_connections_accepted_total"), 9.0);
    assert_eq!(server.metric("towline_lines_processed_total{result=\"ok\"}"), 9.0);
    let of_worker = |worker| format!("towline_worker_connections{{worker=\"{worker}\"}}");
    for worker in 0..3 {
        assert_eq!(server.metric(&of_worker(worker)), 3.0, "the fewest come first");
    }
    balances(&server);
    assert_eq!(server.workers().len(), 3);
    drop(open);
    server.metric_when(ACTIVE, |active| active == 0.0);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn a_worker_that_is_told_to_end_lets_its_connections_finish_and_another_follows() {
    let server = start(&["--threads", "1"]);
    let mut open = connections(&server, 9);
    let leaves = server.workers()[0];
    signal(leaves, Signal::TERM);
    wait_until("three orderly ends", || {
        let over = |stream: &mut TcpStream| {
            stream.set_nonblocking(true).unwrap();
            let over = matches!(stream.read(&mut [0; 8]), Ok(0));
            stream.set_nonblocking(false).unwrap();
            over
        };
        open.iter()
            .map(|stream| over(&mut stream.try_clone().unwrap()))
            .filter(|over| *over)
            .count()
            == 3
    });
    open.retain_mut(|stream| {
        stream.set_nonblocking(true).unwrap();
        let stays = !matches!(stream.read(&mut [0; 8]), Ok(0));
        stream.set_nonblocking(false).unwrap();
        stays
    });
    wait_until("its end", || gone(leaves));
    wait_until("another worker", || server.workers().len() == 3);
    for stream in &mut open {
        exchange(stream, "still\n", "still\n");
    }
    assert_eq!(server.metric(LOST), 0.0);
    balances(&server);
    server.signal(Signal::TERM);
    drop(open);
    assert_eq!(server.end().code, 0);
}

#[test]
fn a_drain_reaches_all_processes() {
    let server = start(&["--drain-deadline", "1s", "--log-level", "error"]);
    // They never close their side, so they only linger, and nothing is cut.
    let _open = connections(&server, 4);
    let workers = server.workers();
    server.signal(Signal::INT);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    assert!(workers.into_iter().all(gone));
}

#[test]
fn a_reload_reaches_all_processes_and_those_that_follow() {
    let file = TempFile::new("[workload]\nkind = \"echo\"\n");
    let server = start(&["--threads", "1", "--config", file.name()]);
    let mut open = connections(&server, 3);
    file.write("[workload]\nkind = \"sha256\"\n");
    server.signal(Signal::HUP);
    server.metric_when("towline_config_reloads_total{result=\"ok\"}", |reloads| reloads == 1.0);
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";
    for stream in &mut open {
        exchange(stream, "abc\n", ABC);
    }
    signal(server.workers()[0], Signal::KILL);
    server.metric_when("towline_worker_restarts_total{worker=\"0\"}", |restarts| restarts == 1.0);
    for _ in 0..6 {
        exchange(&mut server.connect(), "abc\n", ABC);
    }
}

#[test]
fn the_limit_of_connections_is_one_for_all_processes() {
    let server = start(&["--max-connections", "4", "--admission", "reject"]);
    let open = connections(&server, 4);
    let mut refused = String::new();
    server.connect().read_to_string(&mut refused).unwrap();
    assert_eq!(refused, "ERR too many connections\n");
    drop(open);
    server.metric_when(ACTIVE, |active| active == 0.0);
    connections(&server, 4);
}

#[test]
fn where_descriptors_are_few_auto_starts_as_many_processes_as_it_takes() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 150; exec \"$0\" \"$@\""]);
    let flags =
        ["serve", "--processes", "auto", "--max-connections", "200", "--log-level", "error"];
    let server = Server::start_by(&mut shell, &flags);
    assert!(server.workers().len() >= 3);
    let open = connections(&server, 200);
    assert_eq!(server.metric(ACTIVE), 200.0);
    balances(&server);
    drop(open);
}

#[test]
fn more_connections_than_all_processes_have_descriptors_for_are_refused_with_the_way_out() {
    let told = refusal(&["--max-connections", "4000000000", "--processes", "2"]);
    assert!(told.starts_with("limits.connections = 4000000000 is more than this host"), "{told}");
    assert!(told.contains("in 2 processes"), "{told}");
}

/// The sockets of several processes share a port, which the kernel allows any number to do: a second
/// server on the same address took half of the first one's connections instead of being refused.
#[test]
fn an_address_that_several_processes_serve_is_in_use() {
    let server = start(&[]);
    let address = server.lines().to_string();
    for processes in ["1", "2"] {
        let told = refusal(&["--listen", &address, "--admin", "off", "--processes", processes]);
        assert!(told.contains("in use by another process"), "{told}");
    }
}

#[test]
fn a_worker_that_nobody_speaks_to_says_so() {
    let told = refusal(&["worker"]);
    assert!(told.starts_with("a worker is started by `towline serve --processes`"), "{told}");
}
