//! Several processes behind one port: they are one server to everybody outside, and what happens to
//! one of them happens to nobody else.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

#[path = "support/server.rs"]
mod server;
mod support;

use std::{fs, io::Read as _, net::TcpStream, process::Command, thread, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use server::{Server, exchange};
use support::{TempFile, refusal};

const STEP: Duration = Duration::from_millis(10);
const ACTIVE: &str = "towline_connections_active";
const LOST: &str = "towline_connections_closed_total{reason=\"worker_lost\"}";

/// The worker processes, by whichever thread started them.
fn workers(server: &Server) -> Vec<i32> {
    let tasks = fs::read_dir(format!("/proc/{}/task", server.process().id())).unwrap();
    let lists =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("children")).unwrap());
    lists
        .flat_map(|list| {
            list.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()
        })
        .collect()
}

fn signal(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
}

fn gone(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    // One that nobody has waited for yet is gone all the same.
    stat.map_or(true, |stat| stat.contains(") Z "))
}

fn wait_until(what: &str, is: impl Fn() -> bool) {
    for _ in 0..2000 {
        if is() {
            return;
        }
        thread::sleep(STEP);
    }
    panic!("{what} did not come about");
}

fn start(flags: &[&str]) -> Server {
    Server::start(&[], &[&["--processes", "3"], flags].concat())
}

/// So many connections that have exchanged a line each.
fn connections(server: &Server, count: usize) -> Vec<TcpStream> {
    let connect = |_| {
        let mut stream = server.connect();
        exchange(&mut stream, "hello\n", "hello\n");
        stream
    };
    (0..count).map(connect).collect()
}

/// The sums that hold at every scrape.
#[track_caller]
fn balances(server: &Server) {
    let metrics = server.get("/metrics");
    let sum = |name: &str| -> f64 {
        let series = metrics.lines().filter_map(|line| line.strip_prefix(name)?.rsplit_once(' '));
        let series = series.filter(|(labels, _)| labels.is_empty() || labels.starts_with('{'));
        series.map(|(_, value)| value.parse::<f64>().unwrap()).sum()
    };
    let (accepted, closed) =
        (sum("towline_connections_accepted_total"), sum("towline_connections_closed_total"));
    assert_eq!(accepted - closed, sum("towline_connections"), "{metrics}");
    assert_eq!(sum("towline_connections"), sum(ACTIVE), "{metrics}");
}

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
    assert_eq!(workers(&server).len(), 3);
    drop(open);
    server.metric_when(ACTIVE, |active| active == 0.0);
    server.signal(Signal::TERM);
    let run = server.end();
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn fault_31_a_worker_that_is_killed_takes_only_its_own_connections_and_another_follows() {
    let server = start(&["--threads", "1"]);
    let mut open = connections(&server, 30);
    // What it counted in the last second is lost with it: let it tell.
    assert_eq!(server.metric("towline_lines_received_total"), 30.0);
    signal(workers(&server)[0], Signal::KILL);
    server.metric_when("towline_worker_restarts_total{worker=\"0\"}", |restarts| restarts == 1.0);
    wait_until("another worker", || workers(&server).len() == 3);
    assert_eq!(server.metric(LOST), 10.0);
    assert_eq!(server.metric("towline_lines_received_total"), 30.0, "no counter goes back");
    balances(&server);

    let mut ended = 0;
    open.retain_mut(|stream| {
        stream.set_nonblocking(true).unwrap();
        let mut buffer = [0; 8];
        let lost = match stream.read(&mut buffer) {
            Ok(0) => true,
            Ok(_) => panic!("nothing was to come"),
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        };
        stream.set_nonblocking(false).unwrap();
        ended += usize::from(lost);
        !lost
    });
    assert_eq!(ended, 10);
    for stream in &mut open {
        exchange(stream, "still\n", "still\n");
    }
    let more = connections(&server, 10);
    server.metric_when(ACTIVE, |active| active == 30.0);
    balances(&server);
    drop((open, more));
}

#[test]
fn fault_31_a_worker_that_is_killed_again_and_again_is_followed_again_and_again() {
    let server = start(&["--threads", "1", "--log-level", "error"]);
    for _ in 0..5 {
        let _open = connections(&server, 6);
        for pid in workers(&server).into_iter().take(2) {
            signal(pid, Signal::KILL);
        }
        balances(&server);
        wait_until("all workers", || {
            let workers = workers(&server);
            workers.len() == 3 && !workers.into_iter().any(gone)
        });
        balances(&server);
    }
    connections(&server, 3);
}

#[test]
fn fault_32_workers_whose_supervisor_is_killed_finish_and_end() {
    let server = start(&["--drain-deadline", "5s"]);
    let mut open = connections(&server, 3);
    let workers = workers(&server);
    server.signal(Signal::KILL);
    for stream in &mut open {
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "an orderly end");
    }
    drop(open);
    wait_until("the end of the workers", || workers.iter().copied().all(gone));
}

#[test]
fn a_worker_that_is_told_to_end_lets_its_connections_finish_and_another_follows() {
    let server = start(&["--threads", "1"]);
    let mut open = connections(&server, 9);
    let leaves = workers(&server)[0];
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
    wait_until("another worker", || workers(&server).len() == 3);
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
    let workers = workers(&server);
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
    signal(workers(&server)[0], Signal::KILL);
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
    assert!(workers(&server).len() >= 3);
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

#[test]
fn fault_28_a_second_signal_ends_all_processes_at_once() {
    let server = start(&["--log-level", "error"]);
    let open = connections(&server, 3);
    let workers = workers(&server);
    server.signal(Signal::TERM);
    server.metric_when("towline_draining", |draining| draining == 1.0);
    server.signal(Signal::TERM);
    let run = server.end();
    assert!(run.code <= 1, "{run:?}");
    wait_until("the end of the workers", || workers.iter().copied().all(gone));
    drop(open);
}
