//! Worker processes that die, cannot start or are stopped at a bad moment: others go on, and none is left
//! behind.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use towline_test_support::{
    Client, ControlGroup, ServerProcess, TempFile, has_ended, signal, wait_until,
};

const ACTIVE: &str = "towline_connections_active";
const LOST: &str = "towline_connections_closed_total{reason=\"worker_lost\"}";

fn start(flags: &[&str]) -> ServerProcess {
    ServerProcess::start(&[], &[&["--processes", "3"], flags].concat())
}

#[test]
fn fault_31_a_killed_worker_loses_only_its_own_connections_and_is_replaced() {
    let server = start(&["--threads", "1"]);
    let mut open = server.connect_many(30);
    // Its counts since the last report are lost with it; a scrape makes it report.
    assert_eq!(server.metric("towline_lines_received_total"), 30.0);
    signal(server.workers()[0], Signal::KILL);
    server.metric_when("towline_worker_restarts_total{worker=\"0\"}", |restarts| restarts == 1.0);
    wait_until("another worker", || server.workers().len() == 3);
    assert_eq!(server.metric(LOST), 10.0);
    assert_eq!(server.metric("towline_lines_received_total"), 30.0, "no counter goes back");
    server.metrics().assert_connections_add_up();

    open.retain_mut(|client| client.ended().is_none());
    assert_eq!(open.len(), 20);
    for stream in &mut open {
        stream.ask("still\n", "still\n");
    }
    let more = server.connect_many(10);
    server.metric_when(ACTIVE, |active| active == 30.0);
    server.metrics().assert_connections_add_up();
    drop((open, more));
}

#[test]
fn fault_31_workers_that_are_killed_again_and_again_are_replaced_each_time() {
    let server = start(&["--threads", "1", "--log-level", "error"]);
    for _ in 0..5 {
        let _open = server.connect_many(6);
        for pid in server.workers().into_iter().take(2) {
            signal(pid, Signal::KILL);
        }
        server.metrics().assert_connections_add_up();
        wait_until("all workers", || {
            let workers = server.workers();
            workers.len() == 3 && !workers.into_iter().any(has_ended)
        });
        server.metrics().assert_connections_add_up();
    }
    server.connect_many(3);
}

#[test]
fn fault_32_workers_whose_supervisor_is_killed_drain_and_exit() {
    let server = start(&["--drain-deadline", "5s"]);
    let mut open = server.connect_many(3);
    let workers = server.workers();
    server.signal(Signal::KILL);
    for client in &mut open {
        client.expect_end("");
    }
    drop(open);
    wait_until("the exit of the workers", || workers.iter().copied().all(has_ended));
}

#[test]
fn fault_28_a_second_signal_ends_all_processes_at_once() {
    let server = start(&["--log-level", "error"]);
    let open = server.connect_many(3);
    let workers = server.workers();
    server.signal(Signal::TERM);
    server.metric_when("towline_draining", |draining| draining == 1.0);
    server.signal(Signal::TERM);
    let run = server.end();
    assert!(run.code <= 1, "{run:?}");
    wait_until("the exit of the workers", || workers.iter().copied().all(has_ended));
    drop(open);
}

/// A terminal sends it to every process. The supervisor drains, and the workers ignore it: a worker with
/// the default action would dump core with its connections.
#[test]
fn fault_28_sigquit_to_all_processes_drains_them_and_kills_none() {
    let server = start(&["--drain-deadline", "5s", "--log-level", "error"]);
    let open = server.connect_many(3);
    let workers = server.workers();
    for &worker in &workers {
        signal(worker, Signal::QUIT);
    }
    server.connect_many(3);
    assert_eq!(server.metric(LOST), 0.0);
    server.signal(Signal::QUIT);
    drop(open);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(workers.into_iter().all(has_ended));
}

const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n";

const RELOADS: &str = "towline_config_reloads_total{result=\"ok\"}";

#[test]
fn a_reload_during_the_restart_of_a_worker_reaches_the_new_worker() {
    let file = TempFile::new("[workload]\nkind = \"echo\"\n");
    let server = start(&["--threads", "1", "--log-level", "warn", "--config", file.name()]);
    for round in 1..=3_u8 {
        let hashes = round % 2 == 1;
        file.write(if hashes { "[workload]\nkind = \"sha256\"\n" } else { "" });
        let before = server.metric(RELOADS);
        signal(server.workers()[0], Signal::KILL);
        // Before its exit is noticed, in the pause after it, and while the next one starts.
        for pause in [0, 50, 60, 20] {
            thread::sleep(Duration::from_millis(pause));
            server.signal(Signal::HUP);
        }
        server.metric_when(RELOADS, |reloads| reloads > before);
        wait_until("all workers", || {
            server.workers().iter().filter(|pid| !has_ended(**pid)).count() == 3
        });
        for _ in 0..6 {
            server.connect().ask("abc\n", if hashes { ABC } else { "abc\n" });
        }
        assert_eq!(server.metric("towline_config_reloads_total{result=\"error\"}"), 0.0);
        server.metrics().assert_connections_add_up();
    }
    let workers = server.workers();
    server.signal(Signal::TERM);
    assert_eq!(server.end().code, 0);
    wait_until("the exit of the workers", || workers.iter().copied().all(has_ended));
}

const RESTARTS: &str = "towline_worker_restarts_total{worker=\"0\"}";

/// Fails unless the two connections of the killed worker are lost and the two of the other one served.
#[track_caller]
fn assert_half_is_lost(server: &ServerProcess, open: &mut Vec<Client>) {
    assert_eq!(server.metric(LOST), 2.0);
    server.metrics().assert_connections_add_up();
    open.retain_mut(|client| client.ended().is_none());
    assert_eq!(open.len(), 2);
    open.iter_mut().for_each(|client| client.ask("still\n", "still\n"));
    drop(server.connect_many(3));
}

#[test]
fn a_worker_that_cannot_start_is_tried_again_with_growing_pauses() {
    let flags = ["--processes", "2", "--threads", "1", "--max-connections", "100"];
    let server = ServerProcess::start(&[], &flags);
    let mut open = server.connect_many(4);
    assert_eq!(server.metric("towline_lines_received_total"), 4.0);

    // Enough for the supervisor, and too few for a worker with connections, which inherits it.
    let limit = Rlimit { current: Some(66), maximum: Some(66) };
    prlimit(Some(Pid::from_child(server.process())), Resource::Nofile, limit).unwrap();
    let start = SystemTime::now();
    // The pauses double from 0.1 s, so most of the time is for the last of them. Taken after each count:
    // a busy host only raises the bound.
    let restarts_max = || 5.0 + start.elapsed().unwrap().as_secs_f64() / 0.4;
    signal(server.workers()[0], Signal::KILL);
    server.metric_when(RESTARTS, |restarts| restarts >= 4.0);
    let restarts = server.metric(RESTARTS);
    assert!(restarts <= restarts_max(), "{restarts} in {:?}", start.elapsed());
    assert_half_is_lost(&server, &mut open);
    drop(open);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
    let why = "worker process 0: the descriptor limit of 66 leaves none for connections";
    let failures =
        run.stderr.lines().filter(|line| line.contains(why) && line.contains("trying again"));
    let failures = failures.count() as f64;
    assert!((3.0..=restarts_max()).contains(&failures), "{failures}: {run:?}");
}

#[test]
fn a_worker_that_could_not_start_serves_as_soon_as_it_can() {
    const PROCESSES: [&str; 2] = ["pids.max"; 2];
    let Some(group) = ControlGroup::with_limit(PROCESSES, "max") else { return };
    let server = group.start(&["--processes", "2", "--threads", "1"]);
    let mut open = server.connect_many(4);
    assert_eq!(server.metric("towline_lines_received_total"), 4.0);
    // No process can start, and those that run go on.
    group.limit(PROCESSES, 0).unwrap();
    signal(server.workers()[0], Signal::KILL);
    server.metric_when(RESTARTS, |restarts| restarts >= 2.0);
    assert_half_is_lost(&server, &mut open);
    group.limit(PROCESSES, "max").unwrap();
    wait_until("another worker", || {
        // It has the fewest, so connections go there as soon as it serves.
        let _open = server.connect_many(2);
        server.metric("towline_worker_connections{worker=\"0\"}") >= 1.0
    });
    drop(open);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!(run.code, 0, "{run:?}");
}

#[test]
fn a_supervisor_killed_while_a_worker_starts_leaves_no_process_behind() {
    let server = start(&["--log-level", "error", "--drain-deadline", "5s"]);
    let first = server.workers();
    signal(first[0], Signal::KILL);
    let is_new = |pid: &i32| !first.contains(pid);
    wait_until("another worker", || server.workers().iter().any(is_new));
    let workers = [first.clone(), server.workers()].concat();
    server.signal(Signal::KILL);
    wait_until("the exit of the workers", || workers.iter().copied().all(has_ended));
}
