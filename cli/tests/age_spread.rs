//! `timeouts.age` behind a balancer: connections that live for ever would stay with the replicas that were
//! there first.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    process::{Child, Command},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    thread,
    time::Duration,
};

use towline_test_support::{ServerProcess, TempFile, can, wait_for, wait_until};

const CLIENTS: u64 = 160;
const REPLICAS: usize = 4;

/// HAProxy in front of servers, killed when dropped.
struct Balancer {
    process: Child,
    _configuration: TempFile,
    control: TempFile,
    front: TempFile,
}

impl Balancer {
    /// Sends connections to the first two of `servers`, to the one with the fewest.
    fn start(servers: &[ServerProcess]) -> Self {
        let (control, front) = (TempFile::absent(), TempFile::absent());
        let replicas = servers.iter().enumerate().map(|(at, server)| {
            let state = if at < 2 { "" } else { " disabled" };
            format!("  server replica{at} {}{state}\n", server.lines())
        });
        let configuration = TempFile::new(format!(
            "global\n  stats socket {} level admin\n\
             defaults\n  mode tcp\n  timeout connect 10s\n  timeout client 10m\n  timeout server 10m\n\
             listen lines\n  bind unix@{}\n  balance leastconn\n{}",
            control.name(),
            front.name(),
            replicas.collect::<String>(),
        ));
        let process =
            Command::new("haproxy").args(["-q", "-f", configuration.name()]).spawn().unwrap();
        let balancer = Self { process, _configuration: configuration, control, front };
        wait_until("HAProxy listens", || UnixStream::connect(balancer.control.path()).is_ok());
        balancer
    }

    /// From now on sends connections to every server.
    fn enable_all(&self) {
        for at in 2..REPLICAS {
            let mut control = UnixStream::connect(self.control.path()).unwrap();
            writeln!(control, "set server lines/replica{at} state ready").unwrap();
            let mut answer = String::new();
            control.read_to_string(&mut answer).unwrap();
            assert_eq!(answer.trim(), "", "HAProxy refused");
        }
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Exchanges lines, and connects again whenever the server ends the connection, until told to end.
fn exchange(front: &Path, ends: &AtomicBool, replies: &AtomicU64) {
    while !ends.load(Relaxed) {
        // Refused while the balancer's queue is full.
        let Ok(mut stream) = UnixStream::connect(front) else { continue };
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let mut reply = String::new();
        while !ends.load(Relaxed) && stream.write_all(b"a line\n").is_ok() {
            reply.clear();
            match reader.read_line(&mut reply) {
                Ok(read) if read > 0 => assert_eq!(reply, "a line\n"),
                _ => break,
            }
            replies.fetch_add(1, Relaxed);
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn sum(servers: &[ServerProcess], series: &str) -> f64 {
    servers.iter().map(|server| server.metric(series)).sum()
}

#[test]
fn an_age_spreads_connections_over_replicas_that_were_added_and_loses_no_line_that_was_taken() {
    if !can("haproxy -v") {
        return;
    }
    let start = |_| ServerProcess::start(&[], &["--threads", "1", "--max-age", "3s"]);
    let servers: Vec<_> = (0..REPLICAS).map(start).collect();
    let balancer = Balancer::start(&servers);
    let (ends, replies) = (AtomicBool::new(false), AtomicU64::new(0));
    let open = || servers.iter().map(|server| server.metric("towline_connections_active"));
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| exchange(balancer.front.path(), &ends, &replies));
        }
        wait_until("all connections", || open().sum::<f64>() == CLIENTS as f64);
        let at_first: Vec<_> = open().collect();
        assert_eq!(at_first[2..], [0.0, 0.0]);
        balancer.enable_all();
        let ended = "towline_connections_closed_total{reason=\"max_age\"}";
        let before = sum(&servers, ended);
        wait_until("as many ends as connections", || {
            sum(&servers, ended) - before >= CLIENTS as f64
        });
        let each = CLIENTS as f64 / REPLICAS as f64;
        // One that has just ended is open nowhere for a moment.
        wait_for("an even spread", || {
            let open: Vec<_> = open().collect();
            let even = open.iter().all(|open| (open - each).abs() <= 0.1 * each);
            if even { Ok(()) } else { Err(open) }
        });
        ends.store(true, Relaxed);
    });
    drop(balancer);
    let taken = "towline_lines_processed_total{result=\"ok\"}";
    wait_for("a reply for each line that was taken", || {
        let (taken, replies) = (sum(&servers, taken), replies.load(Relaxed) as f64);
        if taken == replies { Ok(()) } else { Err((taken, replies)) }
    });
}
