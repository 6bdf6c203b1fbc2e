//! The drain of connections: a line that was read is answered, a line that was not read is not, and no
//! reply is cut.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use support::{echo, serve};
use tokio::sync::Notify;
use towline::{BoxError, Lines, Outcome, service_fn};
use towline_test_support::{
    PATIENCE,
    http::{self, get},
    wait_until,
};

/// An echo that counts the lines it serves.
fn counting(
    served: &Arc<AtomicUsize>,
) -> impl tower::Service<Lines, Response = Lines, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let served = served.clone();
    service_fn(move |lines: Lines| {
        served.fetch_add(lines.count(), SeqCst);
        async move { Ok::<_, BoxError>(lines) }
    })
}

/// Sends numbered lines, `pipelined` at a time, until the server closes. Checks that the replies are the
/// first of them, in order and whole, and returns how many came.
fn exchange_until_closed(stream: TcpStream, pipelined: usize) -> usize {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut sending = stream.try_clone().unwrap();
    let closed = Arc::new(AtomicBool::new(false));
    let sender = thread::spawn({
        let closed = closed.clone();
        move || {
            for first in (0..).step_by(pipelined) {
                let batch: String = (first..first + pipelined).map(|n| format!("{n}\n")).collect();
                if closed.load(SeqCst) || sending.write_all(batch.as_bytes()).is_err() {
                    return;
                }
            }
        }
    });
    let mut receiving = stream;
    let mut answer = Vec::new();
    // An error would be a reset that overtook replies.
    receiving.read_to_end(&mut answer).unwrap();
    closed.store(true, SeqCst);
    receiving.shutdown(Shutdown::Both).unwrap_or_default();
    sender.join().unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.is_empty() || answer.ends_with('\n'), "a reply was cut");
    for (expected, line) in answer.lines().enumerate() {
        assert_eq!(line, expected.to_string());
    }
    answer.lines().count()
}

#[test]
fn fault_26_under_load_every_line_that_was_read_is_answered_and_no_reply_is_cut() {
    let served = Arc::new(AtomicUsize::new(0));
    let server = serve(counting(&served), |settings| {
        settings.server.threads = NonZeroU32::new(2);
    });
    let clients: Vec<_> = [1, 10, 100, 5000]
        .into_iter()
        .cycle()
        .take(8)
        .map(|pipelined| {
            let stream = TcpStream::connect(server.address).unwrap();
            thread::spawn(move || exchange_until_closed(stream, pipelined))
        })
        .collect();
    server.metrics_when(|metrics| metrics.get("towline_lines_received_total") > 100_000.0);
    assert_eq!(server.drain(), Outcome::Clean);
    let answered: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert_eq!(answered, served.load(SeqCst));
}

/// Closing a socket with unread input makes the kernel send a reset, which overtakes replies that are
/// still in flight.
#[test]
fn fault_26_unread_input_does_not_reset_the_last_reply() {
    let served = Arc::new(AtomicUsize::new(0));
    let server = serve(counting(&served), |_| ());
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Until every buffer is full: the server has replies that it cannot send, and input that it does
    // not read.
    let line = [&[b'x'; 999][..], b"\n"].concat();
    while stream.write_all(&line.repeat(100)).is_ok() {}
    let draining = thread::spawn(move || server.drain());
    thread::sleep(Duration::from_millis(50));
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.ends_with(b"\n"));
    assert_eq!(answer.len(), served.load(SeqCst) * line.len());
    drop(stream);
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

#[test]
fn a_line_in_service_is_answered_while_the_server_is_not_ready_and_accepts_no_connection() {
    let go = Arc::new(Notify::new());
    let service = {
        let go = go.clone();
        service_fn(move |lines: Lines| {
            let go = go.clone();
            async move {
                go.notified().await;
                Ok::<_, BoxError>(lines)
            }
        })
    };
    let server = serve(service, |_| ());
    let (address, admin) = (server.address, server.admin);
    let mut client = server.connect();
    client.send("in service\n");
    server.metrics_when(|metrics| metrics.get("towline_connections{state=\"service\"}") == 1.0);

    let draining = thread::spawn(move || server.drain());
    wait_until("/readyz to fail", || get(admin, "/readyz").status != 200);
    let unready = get(admin, "/readyz");
    assert_eq!((unready.status, unready.body.as_str()), (503, "draining\n"));
    assert_eq!(get(admin, "/healthz").status, 200);
    assert_eq!(http::scrape(admin).get("towline_draining"), 1.0);
    wait_until("the listening socket to close", || TcpStream::connect(address).is_err());

    go.notify_one();
    client.expect_end("in service\n");
    drop(client);
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

/// The metrics say to the byte what the server has read. Every line that ends in there is answered,
/// also those that were read but not served when the drain began.
#[test]
fn fault_26_every_line_of_a_read_is_answered_when_the_drain_begins_while_it_is_served() {
    let go = Arc::new(Notify::new());
    let held = Arc::new(AtomicBool::new(false));
    let service = {
        let go = go.clone();
        service_fn(move |lines: Lines| {
            let first = !held.swap(true, SeqCst);
            let go = go.clone();
            async move {
                if first {
                    go.notified().await;
                }
                Ok::<_, BoxError>(lines)
            }
        })
    };
    let server = serve(service, |_| ());
    let mut idle = server.connect();
    let mut client = server.connect();
    let sent = "x\n".repeat(100_000);
    let mut sending = client.try_clone().unwrap();
    let sender = thread::spawn(move || sending.write_all(sent.as_bytes()));
    let metrics =
        server.metrics_when(|metrics| metrics.get("towline_connections{state=\"service\"}") == 1.0);
    let read = metrics.get("towline_read_bytes_total") as usize;
    let draining = thread::spawn(move || server.drain());
    // Every connection is signalled at once, and an idle one closes then.
    assert!(idle.rest().is_empty());
    drop(idle);
    go.notify_one();
    let answer = client.rest();
    drop(client);
    assert_eq!(answer.len(), read - read % 2, "{read} bytes were read");
    // Later input was discarded, or the connection was closed first.
    let _ = sender.join().unwrap();
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

#[test]
fn a_drain_closes_idle_connections_even_with_half_a_line() {
    let server = echo(|_| ());
    let mut clients: Vec<_> = (0..50).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.ask("a\n", "a\n");
        client.send("half");
    }
    server.metrics_when(|metrics| metrics.get("towline_connections{state=\"read_wait\"}") == 50.0);
    let draining = thread::spawn(move || server.drain());
    for mut client in clients {
        client.expect_end("");
    }
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

#[test]
fn a_drain_waits_for_timeouts_linger_only_for_a_client_that_does_not_close() {
    let server = echo(|settings| {
        settings.timeouts.linger = Duration::from_millis(50);
        settings.timeouts.drain = Duration::from_secs(3600);
    });
    let mut client = server.connect();
    client.ask("a\n", "a\n");
    let draining = thread::spawn(move || server.drain());
    client.expect_end("");
    wait_until("the end of the linger", || draining.is_finished());
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}

#[test]
fn fault_27_a_client_that_never_reads_is_cut_at_the_deadline_and_counted() {
    let server = echo(|settings| settings.timeouts.drain = Duration::from_millis(200));
    let stuck = server.connect();
    let mut stream = stuck.try_clone().unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let flood = "ping\n".repeat(20_000);
    while stream.write_all(flood.as_bytes()).is_ok() {}
    let mut good = server.connect();
    good.ask("a\n", "a\n");
    let draining = thread::spawn(move || server.drain());
    good.expect_end("");
    drop(good);
    assert_eq!(draining.join().unwrap(), Outcome::Cut(1));
}

#[test]
fn a_server_at_its_connection_limit_drains_too() {
    let server = echo(|settings| settings.limits.connections = NonZeroU32::new(1));
    let mut served = server.connect();
    served.ask("a\n", "a\n");
    let waiting: BTreeSet<u16> = (0..3)
        .map(|_| server.connect())
        .map(|client| client.local_addr().unwrap().port())
        .collect();
    assert_eq!(waiting.len(), 3);
    let draining = thread::spawn(move || server.drain());
    served.expect_end("");
    drop(served);
    assert_eq!(draining.join().unwrap(), Outcome::Clean);
}
