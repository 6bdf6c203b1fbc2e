//! What clients of commands can make the server hold: the example `kv`, a value of 60 KiB, clients that ask for it
//! for ever and read nothing. In a process of their own, because resident memory is that of the process.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/kv.rs"]
mod kv;

use std::{
    cell::Cell,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    sync::{Mutex, MutexGuard, PoisonError},
};

use socket2::{Domain, Socket, Type};
use support::TestServer;
use towline::{Server, Settings};
use towline_test_support::Metrics;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// Resident memory is measured by one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The store with its value, and as many bytes of `GET` as fill what the kernel takes of them.
fn store(buffer_bytes: usize) -> (TestServer, Vec<u8>) {
    let mut settings = Settings::default();
    settings.limits.buffer_bytes = Some(buffer_bytes);
    settings.heartbeat.interval = None;
    let builder = Server::builder().settings(settings).threads(1).raise_descriptor_limit(true);
    let builder = builder.listen("127.0.0.1:0").admin("127.0.0.1:0");
    let server = TestServer::new(kv::server(builder).start().unwrap());
    let value = "x".repeat(60 * KIB);
    server.connect().ask(format!("SET a {value}\r\n"), "+OK\r\n");
    server.connect().ask("GET a\r\n", format!("${}\r\n{value}\r\n", value.len()));
    (server, b"GET a\r\n".repeat(64 * KIB / 7))
}

/// A client that has sent all of `gets` that the kernel took, and reads nothing. Of what it is sent its kernel
/// takes little, so that the server holds the rest.
fn greedy(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4 * KIB).unwrap();
    socket.connect(&address.into()).unwrap();
    let client = TcpStream::from(socket);
    client.set_nonblocking(true).unwrap();
    client
}

fn resident(metrics: &Metrics) -> f64 {
    metrics.get("process_resident_memory_bytes")
}

fn buffered(metrics: &Metrics) -> f64 {
    metrics.sum("towline_buffer_bytes")
}

/// A session answered all frames of a read before the first reply was written: 64 KiB of `GET` made one client
/// cost 640 MiB.
#[test]
fn a_client_that_asks_for_ever_and_reads_nothing_costs_less_than_a_mebibyte() {
    let _alone = alone();
    let (server, gets) = store(256 * MIB);
    let before = resident(&server.metrics());
    let mut client = greedy(server.address);
    client.write_all(&gets).unwrap();
    let metrics = server
        .metrics_when(|metrics| metrics.get("towline_connections{state=\"write_wait\"}") == 1.0);
    assert!(buffered(&metrics) >= 60.0 * KIB as f64, "its replies wait for it");
    let grown = resident(&metrics) - before;
    assert!(grown <= MIB as f64, "resident memory grew by {grown} bytes");
}

/// Connections that were closed to free memory had it until they ran, and hundreds ran before them, each with a
/// reply of its own.
#[test]
fn a_thousand_such_clients_stay_within_the_memory_for_buffers() {
    const CLIENTS: usize = 1_000;
    let _alone = alone();
    let limit = 32 * MIB;
    let (server, gets) = store(limit);
    let before = resident(&server.metrics());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| greedy(server.address)).collect();
    let open = |metrics: &Metrics| metrics.get("towline_connections_active");
    server.metrics_when(|metrics| open(metrics) == CLIENTS as f64);
    let most = Cell::new(0.0_f64);
    let record = |metrics: &Metrics| most.set(most.get().max(buffered(metrics)));
    for (n, client) in clients.iter_mut().enumerate() {
        // Its connection may be closed already.
        let _ = client.write(&gets);
        if n % 50 == 0 {
            record(&server.metrics());
        }
    }
    let metrics = server.metrics_when(|metrics| {
        record(metrics);
        open(metrics) == metrics.get("towline_connections{state=\"write_wait\"}")
    });
    let most = most.get();
    assert!(most <= limit as f64, "{most} bytes of {limit}");
    assert!(most >= limit as f64 / 4.0 && metrics.closed("overload") > 0.0, "there were enough");
    let grown = resident(&metrics) - before;
    assert!(grown <= 2.0 * limit as f64, "resident memory grew by {grown} bytes");
    metrics.assert_connections_add_up();
}
