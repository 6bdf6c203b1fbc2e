//! Whose fault it is that replies wait, as `GET /connections` and the metrics show it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use serde_json::Value;
use socket2::{Domain, Socket, Type};
use towline_test_support::{Metrics, Namespace, PATIENCE, ServerProcess, http, wait_until};

/// Enough that one wrong in twenty is within the bound.
const CLIENTS: usize = 20;

/// Causes that are compared for each test, and the share of them that must be right.
const OBSERVED: usize = 5 * CLIENTS;
const RIGHT_PERCENT: usize = 95;

/// No connection is closed for its slowness during a test.
const FLAGS: [&str; 4] = ["--threads", "1", "--write-timeout", "1h"];

/// Clients that send all the time.
#[derive(Debug)]
struct Senders(Vec<TcpStream>);

impl Senders {
    fn connect(server: SocketAddr, receive_buffer: Option<usize>) -> Self {
        let connect = |_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if let Some(bytes) = receive_buffer {
                socket.set_recv_buffer_size(bytes).unwrap();
            }
            socket.connect_timeout(&server.into(), PATIENCE).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.into()
        };
        Self((0..CLIENTS).map(connect).collect())
    }

    /// Sends as much as the sockets take, and reads at most `bytes` of the replies, `every` so often, until
    /// `stop`.
    fn run(&mut self, bytes: usize, every: Duration, stop: &AtomicBool) {
        let lines = b"0123456789abcde\n".repeat(4096);
        let mut replies = vec![0; bytes];
        while !stop.load(Relaxed) {
            for client in &mut self.0 {
                for done in [client.write(&lines), client.read(&mut replies)] {
                    match done {
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
            thread::sleep(every);
        }
    }
}

/// Waiting connections and their causes, if they have waited long enough to have one.
fn causes(admin: SocketAddr) -> Vec<String> {
    let response = http::get(admin, "/connections?state=write_wait&limit=1000");
    assert_eq!(response.status, 200, "{response:?}");
    let listing: Value = serde_json::from_str(&response.body).unwrap();
    let rows = listing["connections"].as_array().unwrap();
    rows.iter().filter_map(|row| Some(row["write_wait_cause"].as_str()?.to_owned())).collect()
}

fn waited(metrics: &Metrics, cause: &str) -> f64 {
    metrics.get(&format!("towline_write_wait_seconds_total{{cause=\"{cause}\"}}"))
}

/// Observes clients that wait by `cause`, which the thread `act` sees to until it is told to stop.
fn observe(server: &ServerProcess, cause: &str, act: impl FnOnce(&AtomicBool) + Send) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let acting = scope.spawn(|| act(&stop));
        let observed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            compare(server, cause);
        }));
        stop.store(true, Relaxed);
        acting.join().unwrap();
        observed.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

fn compare(server: &ServerProcess, cause: &str) {
    wait_until("causes are known", || !causes(server.admin()).is_empty());
    let mut seen = Vec::new();
    wait_until("many causes were seen", || {
        seen.extend(causes(server.admin()));
        // As often as the server finds out.
        thread::sleep(Duration::from_secs(1));
        seen.len() >= OBSERVED
    });
    let right = seen.iter().filter(|seen| *seen == cause).count();
    let mut others: Vec<_> = seen.iter().filter(|seen| *seen != cause).collect();
    others.sort();
    assert!(
        right * 100 >= seen.len() * RIGHT_PERCENT,
        "{right} of {} are {cause}, the others {others:?}",
        seen.len()
    );
    // Time that was attributed adds up to all time that replies waited.
    let metrics = server.metrics();
    let attributed = metrics.sum("towline_write_wait_seconds_total");
    let known: f64 =
        ["peer", "network", "buffer"].iter().map(|cause| waited(&metrics, cause)).sum();
    let of_cause = waited(&metrics, cause);
    assert!(of_cause >= 0.9 * known, "{of_cause} s of {known} s: {metrics:?}");
    assert!(attributed >= known && known > 0.0, "{attributed} s, {known} s: {metrics:?}");
}

#[test]
fn a_client_that_never_reads_is_waited_for_by_its_own_fault() {
    let server = ServerProcess::start(&[], &FLAGS);
    let mut clients = Senders::connect(server.lines(), None);
    observe(&server, "peer", |stop| clients.run(0, Duration::from_millis(10), stop));
}

/// Its window opens by a few bytes now and then, and segments are sent again because it has no room for them.
#[test]
fn a_slow_reader_with_a_tiny_receive_buffer_is_waited_for_by_its_own_fault() {
    let server = ServerProcess::start(&[], &FLAGS);
    let mut clients = Senders::connect(server.lines(), Some(1));
    observe(&server, "peer", |stop| clients.run(64, Duration::from_millis(100), stop));
}

#[test]
fn replies_that_a_network_loses_wait_by_its_fault() {
    let Some(net) = Namespace::start("true", &[], &FLAGS) else { return };
    net.enter(|server| {
        let mut clients = Senders::connect(server.lines(), None);
        net.replies("numgen random mod 100 < 40 drop");
        observe(server, "network", |stop| clients.run(1 << 20, Duration::from_millis(2), stop));
    });
}
