//! Worker processes that stand still, as under a debugger, or that are missing: readiness, the gauge and
//! the service manager say so, and clients are served by the others.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::os::unix::net::UnixDatagram;

use rustix::process::Signal;
use towline_test_support::{
    Client, ControlGroup, PATIENCE, Run, ServerProcess, TempFile, signal, stop, towline, wait_until,
};

const UNRESPONSIVE: &str = "towline_worker_processes{state=\"unresponsive\"}";
const SERVING: &str = "towline_worker_processes{state=\"serving\"}";
const MISSING: &str = "towline_worker_processes{state=\"missing\"}";
const LOST: &str = "towline_connections_closed_total{reason=\"worker_lost\"}";
const RESTARTS: &str = "towline_worker_restarts_total{worker=\"0\"}";
const FLAGS: [&str; 4] = ["--processes", "2", "--threads", "1"];

#[track_caller]
fn assert_served(clients: &mut [Client]) {
    clients.iter_mut().for_each(|client| client.ask("still\n", "still\n"));
}

/// A worker that was stopped went on getting every second connection, as long as 128 were on their way to
/// it: half of the new clients waited for as long as it stood still, the server was ready, and nothing
/// said why.
#[test]
fn fault_31_a_stopped_worker_gets_no_new_connections_until_it_goes_on() {
    let server = ServerProcess::start(&[], &FLAGS);
    let mut open = server.connect_many(4);
    let stopped = server.workers()[0];
    stop(stopped);
    server.metric_when(UNRESPONSIVE, |processes| processes == 1.0);
    assert_eq!(server.metric(SERVING), 1.0);
    assert_eq!(server.get("/readyz"), "accepting\n", "one serves");
    let more = server.connect_many(20);
    server.metrics().assert_connections_add_up();

    signal(stopped, Signal::CONT);
    server.metric_when(SERVING, |processes| processes == 2.0);
    assert_served(&mut open);
    let _balanced = server.connect_many(20);
    assert_eq!(server.metric("towline_worker_connections{worker=\"0\"}"), 22.0);
    assert_eq!((server.metric(LOST), server.metric(RESTARTS)), (0.0, 0.0));
    drop((open, more));
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    for said in ["does not answer", "answers again"] {
        assert_eq!(run.stderr.matches(said).count(), 1, "{said}: {run:?}");
    }
}

/// Connections that were on their way to a worker when it stopped, or died, waited as long as it stood
/// still, or were reset.
#[test]
fn fault_31_connections_on_their_way_to_a_worker_that_stands_still_are_served_by_another() {
    for then in [None, Some(Signal::CONT), Some(Signal::KILL)] {
        let server = ServerProcess::start(&[], &FLAGS);
        let mut open = server.connect_many(2);
        assert_eq!(server.metric("towline_lines_received_total"), 2.0);
        let stopped = server.workers()[0];
        stop(stopped);
        let mut new: Vec<_> = (0..40).map(|_| server.connect()).collect();
        if let Some(then) = then {
            signal(stopped, then);
        }
        assert_served(&mut new);
        if then == Some(Signal::KILL) {
            open.retain_mut(|client| client.ended().is_none());
            server.metric_when(SERVING, |processes| processes == 2.0);
        } else {
            signal(stopped, Signal::CONT);
            server.metric_when(SERVING, |processes| processes == 2.0);
        }
        assert_served(&mut open);
        assert_served(&mut new);
        assert_eq!(server.metric(LOST), if open.len() == 1 { 1.0 } else { 0.0 });
        assert_eq!(server.metric("towline_connections_accepted_total"), 42.0);
        server.metrics().assert_connections_add_up();
        drop((open, new));
        server.signal(Signal::TERM);
        assert_eq!(server.end().code, 0);
    }
}

/// For as long as a worker stood still, its clients had neither a reply nor an end.
#[test]
fn fault_31_a_worker_that_stays_stopped_is_replaced_and_the_counts_stay_exact() {
    // No pings: it takes as long as one is due.
    let flags = [&FLAGS[..], &["--heartbeat", "off"]].concat();
    let server = ServerProcess::start(&[], &flags);
    let mut open = server.connect_many(10);
    assert_eq!(server.metric("towline_lines_received_total"), 10.0);
    stop(server.workers()[0]);
    server.metric_when(RESTARTS, |restarts| restarts == 1.0);
    server.metric_when(SERVING, |processes| processes == 2.0);
    assert_eq!(server.metric(LOST), 5.0);
    assert_eq!(server.metric("towline_lines_received_total"), 10.0, "no counter goes back");
    server.metrics().assert_connections_add_up();
    open.retain_mut(|client| client.ended().is_none());
    assert_eq!(open.len(), 5);
    assert_served(&mut open);
    let _more = server.connect_many(10);
    server.metrics().assert_connections_add_up();
}

/// The connections of a process that stands still are not closed, and it was said that there were none.
#[test]
fn a_kill_says_which_process_did_not_answer() {
    let socket = TempFile::absent();
    let flags = [&FLAGS[..], &["--admin-socket", socket.name()]].concat();
    let server = ServerProcess::start(&[], &flags);
    let _clients = server.connect_many(2);
    stop(server.workers()[0]);
    let run = towline(&["ctl", "--socket", socket.name(), "kill", "0-1", "1-1"]);
    let sentence = "towline: a worker process did not answer; not open, or not closed: 0-1 \
                    (closing 1 connection)\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, sentence), "{run:?}");
}

fn health(server: &ServerProcess) -> Run {
    towline(&["health", "--ready", "--admin", &server.admin().to_string()])
}

/// `/readyz` said `accepting` for as long as no worker lived, while connections waited without an answer
/// or were closed without a word.
#[test]
fn fault_31_a_server_without_a_worker_that_serves_is_not_ready() {
    const PROCESSES: [&str; 2] = ["pids.max"; 2];
    let Some(group) = ControlGroup::with_limit(PROCESSES, "max") else { return };
    let server = group.start(&FLAGS);
    server.connect_many(2);
    assert_eq!(health(&server).code, 0);
    // No process can start.
    group.limit(PROCESSES, 0).unwrap();
    server.workers().into_iter().for_each(|worker| signal(worker, Signal::KILL));
    server.metric_when(MISSING, |processes| processes == 2.0);
    assert_eq!(server.get("/readyz"), "no worker\n");
    let run = health(&server);
    assert_eq!(run.code, 1);
    assert!(run.stderr.contains("503"), "{run:?}");
    assert_eq!(server.get("/healthz"), "alive\n", "it needs no restart");

    let mut waits = server.connect();
    group.limit(PROCESSES, "max").unwrap();
    server.metric_when(SERVING, |processes| processes == 2.0);
    assert_eq!(server.get("/readyz"), "accepting\n");
    assert_eq!(health(&server).code, 0);
    waits.ask("late\n", "late\n");
    drop(waits);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    assert!(run.stderr.contains("no worker process serves"), "{run:?}");
}

/// The drain waited until its deadline for a worker to take a connection that waited, though none was to
/// start any more.
#[test]
fn fault_31_a_server_without_a_worker_ends_at_the_first_signal() {
    const PROCESSES: [&str; 2] = ["pids.max"; 2];
    let Some(group) = ControlGroup::with_limit(PROCESSES, "max") else { return };
    let server = group.start(&[&FLAGS[..], &["--drain-deadline", "1h"]].concat());
    group.limit(PROCESSES, 0).unwrap();
    server.workers().into_iter().for_each(|worker| signal(worker, Signal::KILL));
    server.metric_when(MISSING, |processes| processes == 2.0);
    // The first is accepted already, for a worker that was alive when its turn came.
    let _wait = [server.connect(), server.connect()];
    server.signal(Signal::TERM);
    let run = server.end();
    // One of the two may have been on its way to a worker: it is cut, and said to be.
    assert!(run.code <= 1, "{run:?}");
    assert!(!run.stderr.contains("deadline"), "{run:?}");
}

#[test]
fn fault_31_the_service_manager_sees_how_many_workers_serve() {
    let file = TempFile::absent();
    let manager = UnixDatagram::bind(file.name()).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = ServerProcess::start(&[("NOTIFY_SOCKET", file.name())], &FLAGS);
    let until = |expected: &str| {
        wait_until(expected, || {
            let mut message = [0; 1024];
            let length = manager.recv(&mut message).unwrap();
            String::from_utf8_lossy(&message[..length]).starts_with(expected)
        });
    };
    until("READY=1\nSTATUS=listening on ");
    let workers = server.workers();
    for &worker in &workers {
        stop(worker);
    }
    until("STATUS=0 of 2 worker processes serve, listening on ");
    assert_eq!(server.get("/readyz"), "no worker\n");
    for &worker in &workers {
        signal(worker, Signal::CONT);
    }
    until("STATUS=listening on ");
    assert_eq!(server.get("/readyz"), "accepting\n");
    server.signal(Signal::TERM);
    until("STOPPING=1\nSTATUS=draining 0 connections");
}
