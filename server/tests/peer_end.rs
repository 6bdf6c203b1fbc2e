//! Clients that end the connection while their call runs.
//!
//! A client that reset or closed its connection during a call was counted as open, with its call running and
//! its permit held, until the call was done: an hour later, or never. 64 of them with 64 permits left the
//! lines of everybody else unanswered.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    future::pending,
    io::Write as _,
    num::NonZeroU32,
    os::unix::net::UnixStream,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use support::{TestServer, serve};
use tower::Service;
use towline::{BoxError, Lines, Server, Settings, service_fn};
use towline_test_support::{Client, wait_until};

/// As many as there are clients that will be gone.
const PERMITS: u32 = 64;

/// Serves a batch that begins with `hang` for ever, and counts those.
fn hanging() -> (
    impl Service<Lines, Response = Lines, Error = BoxError, Future: Send + 'static>
    + Clone
    + Send
    + Sync
    + 'static,
    Arc<AtomicUsize>,
) {
    struct Running(Arc<AtomicUsize>);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.fetch_sub(1, SeqCst);
        }
    }
    let running = Arc::new(AtomicUsize::new(0));
    let count = running.clone();
    let service = service_fn(move |lines: Lines| {
        let count = count.clone();
        async move {
            if lines.as_bytes().starts_with(b"hang") {
                count.fetch_add(1, SeqCst);
                let _running = Running(count);
                pending::<()>().await;
            }
            Ok::<_, BoxError>(lines)
        }
    });
    (service, running)
}

fn hanging_server(change: impl FnOnce(&mut Settings)) -> (TestServer, Arc<AtomicUsize>) {
    let (service, running) = hanging();
    let server = serve(service, |settings| {
        settings.timeouts.request = None;
        settings.heartbeat.interval = None;
        settings.limits.concurrency = NonZeroU32::new(PERMITS).unwrap();
        change(settings);
    });
    (server, running)
}

/// What a client has sent behind its line, which must not hide its end: nothing, or lines, or more than is
/// read ahead.
fn behind(client: usize) -> Vec<u8> {
    match client % 4 {
        0 => Vec::new(),
        1 => b"line\nhalf".to_vec(),
        2 => vec![b'x'; 40 * 1024],
        _ => b"hang\n".repeat(8 * 1024),
    }
}

/// Connects clients that take all permits, and then send more.
fn callers(server: &TestServer, running: &AtomicUsize) -> Vec<Client> {
    let mut clients: Vec<_> = (0..PERMITS).map(|_| server.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("hang\n"));
    wait_until("all calls run", || running.load(SeqCst) == PERMITS as usize);
    for (client, at) in clients.iter_mut().zip(0..) {
        client.send(behind(at));
    }
    clients
}

#[track_caller]
fn expect_all_gone(server: &TestServer, running: &AtomicUsize, reason: &str) {
    let mut living = server.connect();
    living.ask("hi\n", "hi\n");
    let metrics = server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    assert_eq!(metrics.closed(reason), f64::from(PERMITS));
    assert_eq!(metrics.get("towline_concurrency_in_use"), 0.0);
    assert_eq!(running.load(SeqCst), 0, "calls that were not cancelled");
    metrics.assert_connections_add_up();
}

#[test]
fn fault_11_a_call_whose_client_resets_the_connection_is_cancelled_and_its_permit_is_free() {
    let (server, running) = hanging_server(|settings| settings.timeouts.half_close = None);
    callers(&server, &running).into_iter().for_each(Client::reset);
    expect_all_gone(&server, &running, "peer_reset");
}

#[test]
fn a_call_whose_client_closes_the_connection_is_cancelled_and_its_permit_is_free() {
    let (server, running) = hanging_server(|_| ());
    drop(callers(&server, &running));
    expect_all_gone(&server, &running, "peer_eof");
}

/// Lines that wait for a permit, too.
#[test]
fn a_line_whose_client_is_gone_does_not_wait_for_a_permit() {
    let (server, running) =
        hanging_server(|settings| settings.limits.concurrency = NonZeroU32::MIN);
    let mut holder = server.connect();
    holder.send("hang\n");
    wait_until("the call runs", || running.load(SeqCst) == 1);
    let mut waiting: Vec<_> = (0..10).map(|_| server.connect()).collect();
    waiting.iter_mut().for_each(|client| client.send("hang\n"));
    server.metrics_when(|metrics| metrics.get("towline_connections{state=\"limit_wait\"}") == 10.0);
    waiting.into_iter().for_each(Client::reset);
    let metrics = server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    assert_eq!(metrics.closed("peer_reset"), 10.0);
}

#[test]
fn a_call_over_a_unix_socket_ends_with_its_client() {
    let path = std::env::temp_dir().join(format!("towline-peer-end-{}", std::process::id()));
    let (service, running) = hanging();
    let server = Server::builder()
        .listen(&format!("unix:{}", path.display()))
        .admin("127.0.0.1:0")
        .threads(1)
        .request_timeout(None)
        .serve(service)
        .start()
        .unwrap();
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"hang\n").unwrap();
    wait_until("the call runs", || running.load(SeqCst) == 1);
    drop(client);
    wait_until("the call is cancelled", || running.load(SeqCst) == 0);
    drop(server);
}
