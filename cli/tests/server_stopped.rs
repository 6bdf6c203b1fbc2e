//! A server that is stopped and continued, as by a debugger, a paused container or a suspended host.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{Read as _, Write as _},
    thread,
    time::{Duration, SystemTime},
};

use rustix::process::Signal;
use towline_test_support::{Client, Metrics, ServerProcess, http, signal, wait_for};

const CLIENTS: usize = 50;
const THREADS: &str = "2";

/// Deadlines in seconds. The longer ones are for a host on which the clients alone take too long.
const DEADLINES: [u64; 3] = [3, 12, 48];

/// Every connection was closed when the server continued: its clock counted the stop as silence.
#[test]
fn fault_25_connections_survive_a_stop_longer_than_every_deadline() {
    let judged = DEADLINES.into_iter().any(stop_and_continue);
    assert!(judged, "the clients alone took too long");
}

/// The time in the stack showed nothing of it: of 6,593 batches none took longer than half a millisecond, while
/// clients waited for 1.4 seconds.
#[test]
fn a_stop_that_clients_feel_is_in_the_scheduling_delay() {
    const STOP: Duration = Duration::from_millis(1_400);
    const DELAY: &str = "towline_scheduling_delay_seconds";
    for processes in ["1", "2"] {
        let flags = ["--threads", "1", "--processes", processes];
        let server = ServerProcess::start(&[], &flags);
        // One on each thread, so that both are sampled.
        let mut clients = [server.connect(), server.connect()];
        for client in &mut clients {
            client.ask("a\n", "a\n");
        }
        let before = http::scrape(server.admin());
        let workers = if processes == "1" { Vec::new() } else { server.workers() };
        let all = |what| {
            server.signal(what);
            workers.iter().for_each(|pid| signal(*pid, what));
        };
        all(Signal::STOP);
        thread::sleep(STOP);
        all(Signal::CONT);
        for client in &mut clients {
            client.ask("a\n", "a\n");
        }
        let samples = |metrics: &Metrics| metrics.get(&format!("{DELAY}_count"));
        // One for each interval of the stop.
        let after = wait_for("samples", || {
            let after = http::scrape(server.admin());
            if samples(&after) >= samples(&before) + 27.0 { Ok(after) } else { Err(after) }
        });
        let p99 = after.quantile_since(&before, 0.99, DELAY);
        assert!(p99 >= 1.0, "{p99}");
        assert!(after.quantile_since(&before, 0.99, "towline_batch_duration_seconds") < 1.0);
    }
}

/// Stops a server for longer than its deadlines. Returns false without an assertion if the clients took
/// more than half of a deadline themselves, because the server may close their connections then.
fn stop_and_continue(seconds: u64) -> bool {
    let deadline = Duration::from_secs(seconds);
    let flag = format!("{seconds}s");
    let deadlines = ["--idle-timeout", &flag, "--line-deadline", &flag, "--heartbeat", "off"];
    let server = ServerProcess::start(&[], &[&deadlines[..], &["--threads", THREADS]].concat());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();

    let start = SystemTime::now();
    let answered = clients.iter_mut().all(|client| answers(client, "a\nhalf", "a\n"));
    server.signal(Signal::STOP);
    let mut taken = start.elapsed().unwrap();
    thread::sleep(deadline * 3 / 2);
    server.signal(Signal::CONT);
    let start = SystemTime::now();
    // New connections go to every shard. Once they are served, each shard has checked its deadlines.
    let mut new: Vec<_> = (0..4).map(|_| server.connect()).collect();
    for client in &mut new {
        client.ask("new\n", "new\n");
    }
    let survived = clients.iter_mut().all(|client| answers(client, " a line\n", "half a line\n"));
    taken += start.elapsed().unwrap();
    if taken > deadline / 2 {
        return false;
    }
    assert!(answered && survived, "a connection was closed");

    // Deadlines go on from where they were.
    drop(new);
    for mut client in clients {
        client.set_read_timeout(Some(2 * deadline + Duration::from_secs(20))).unwrap();
        assert_eq!(client.read(&mut [0; 1]).unwrap(), 0);
    }
    let closed = server.metric("towline_connections_closed_total{reason=\"idle_timeout\"}");
    assert_eq!(closed, CLIENTS as f64);
    true
}

/// Whether `lines` are answered by `expected` and the connection is not closed.
fn answers(client: &mut Client, lines: &str, expected: &str) -> bool {
    let mut reply = vec![0; expected.len()];
    client.write_all(lines.as_bytes()).is_ok()
        && client.read_exact(&mut reply).is_ok()
        && reply == expected.as_bytes()
}
