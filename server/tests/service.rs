//! What a service can do to its connection, and cannot do to others.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    future::pending,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use support::{echo, serve, serve_with};
use tokio::sync::Notify;
use towline::{BoxError, EachLine, Line, Lines, Peer, Response, ServiceBuilder, service_fn};
use towline_config::Overload;
use towline_test_support::Client;

/// A service that panics, fails or never answers when a line says so.
fn misbehaving()
-> impl tower::Service<Lines, Response = Response, Error = BoxError, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    EachLine::new(service_fn(|line: Line| async move {
        match &line[..] {
            b"panic" => panic!("as the line said"),
            b"fail" => Err(BoxError::from("as the line said")),
            b"hang" => pending().await,
            _ => Ok(line),
        }
    }))
}

#[test]
fn fault_24_a_panic_in_a_service_ends_that_connection_only_and_is_counted() {
    let server = serve(misbehaving(), |_| ());
    let mut other = server.connect();
    other.ask("before\n", "before\n");
    for _ in 0..3 {
        let mut client = server.connect();
        client.ask("fine\n", "fine\n");
        client.send("panic\n");
        let _ = client.rest();
    }
    other.ask("after\n", "after\n");
    let metrics = server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
    assert_eq!(metrics.closed("service_panic"), 3.0);
    assert_eq!(metrics.get("towline_concurrency_in_use"), 0.0, "the permit came back");
    metrics.assert_connections_add_up();
}

/// The service of a connection is made on its shard's own task: a panic there ended the thread and
/// every connection on it, and new connections were still sent to it and lost.
#[test]
fn fault_24_a_panic_while_a_connection_s_service_is_made_ends_that_connection_only() {
    let made = Arc::new(AtomicUsize::new(0));
    let make = move |_: Peer| {
        assert_ne!(made.fetch_add(1, SeqCst), 1, "the second connection finds a bug");
        misbehaving()
    };
    let server = serve_with(make, |_| ());
    let mut first = server.connect();
    first.ask("first\n", "first\n");
    server.connect().expect_end("");
    first.ask("still here\n", "still here\n");
    server.connect().ask("third\n", "third\n");
    drop(first);
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("service_panic"), 1.0);
    assert_eq!(metrics.get("towline_connections_accepted_total"), 3.0);
}

/// The replies that lines in front of it in its batch had earned were lost with it.
#[test]
fn a_service_error_ends_the_connection_after_the_replies_before_it() {
    let server = serve(misbehaving(), |_| ());
    let mut client = server.connect();
    client.ask("fine\n", "fine\n");
    client.send("earned\nfail\nlost\n");
    client.expect_end("earned\n");
    drop(client);
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("service_error"), 1.0);
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"error\"}"), 2.0);
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"ok\"}"), 2.0);
}

#[test]
fn fault_24_a_service_that_hangs_is_answered_with_a_timeout_and_the_connection_goes_on() {
    let timeout = Some(Duration::from_millis(50));
    let server = serve(misbehaving(), |settings| settings.timeouts.request = timeout);
    let mut client = server.connect();
    client.ask("hang\nbehind it\n", "ERR timeout\nERR timeout\n");
    client.ask("on\n", "on\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"timeout\"}"), 2.0);
    assert_eq!(metrics.get("towline_concurrency_in_use"), 0.0, "the permit came back");
}

#[test]
fn a_timeout_layer_of_the_service_is_answered_too() {
    let inner = ServiceBuilder::new().timeout(Duration::from_millis(10)).service(misbehaving());
    let server = serve(inner, |_| ());
    server.connect().ask("hang\n", "ERR timeout\n");
}

#[test]
fn shed_overload_is_answered_once_per_line_and_recovers() {
    let go = Arc::new(Notify::new());
    let service = {
        let go = go.clone();
        service_fn(move |lines: Lines| {
            let go = go.clone();
            async move {
                if lines.as_bytes() == b"hold\n" {
                    go.notified().await;
                }
                Ok::<_, BoxError>(lines)
            }
        })
    };
    let server = serve(service, |settings| {
        settings.limits.concurrency = NonZeroU32::MIN;
        settings.limits.overload = Overload::Shed;
    });
    let mut holder = server.connect();
    holder.send("hold\n");
    server.metrics_when(|metrics| metrics.get("towline_connections{state=\"service\"}") == 1.0);
    let mut other = server.connect();
    other.ask("a\nb\n", "ERR overloaded\nERR overloaded\n");
    go.notify_one();
    holder.expect("hold\n");
    // A shed line leaves no waiter behind that would take the permit.
    other.ask("c\n", "c\n");
    let metrics = server.metrics();
    assert_eq!(metrics.get("towline_lines_processed_total{result=\"shed\"}"), 2.0);
}

#[test]
fn waiting_overload_is_in_the_metrics_and_served_in_the_end() {
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
    let server = serve(service, |settings| settings.limits.concurrency = NonZeroU32::MIN);
    let mut clients = [server.connect(), server.connect()];
    for client in &mut clients {
        client.send("line\n");
    }
    let metrics = server.metrics_when(|metrics| {
        metrics.get("towline_connections{state=\"service\"}") == 1.0
            && metrics.get("towline_connections{state=\"limit_wait\"}") == 1.0
    });
    assert_eq!(metrics.get("towline_concurrency_in_use"), 1.0);
    for _ in 0..2 {
        go.notify_one();
        server.metrics_when(|metrics| metrics.get("towline_concurrency_in_use") <= 1.0);
    }
    go.notify_one();
    for client in &mut clients {
        client.expect("line\n");
    }
}

/// A service that is made ready before a line has come holds a permit for each idle connection: with
/// as many idle clients as permits, the next line waited for ever.
#[test]
fn a_thousand_idle_connections_hold_no_permit_of_two() {
    let server = echo(|settings| settings.limits.concurrency = NonZeroU32::new(2).unwrap());
    let mut idle: Vec<Client> = (0..1000).map(|_| server.connect()).collect();
    for client in &mut idle {
        client.ask("hello\n", "hello\n");
    }
    server.connect().ask("the 1,001st\n", "the 1,001st\n");
    // A reply arrives a moment before its connection parks.
    let metrics =
        server.metrics_when(|metrics| metrics.get("towline_connections{state=\"idle\"}") == 1000.0);
    assert_eq!(metrics.get("towline_concurrency_in_use"), 0.0);
}

#[test]
fn each_connection_has_its_own_state_and_knows_its_peer() {
    let make = |peer: Peer| {
        let lines = Arc::new(AtomicUsize::new(0));
        EachLine::new(service_fn(move |_: Line| {
            let before = lines.fetch_add(1, SeqCst);
            let port = peer.address().unwrap().port();
            async move { Ok::<_, BoxError>(format!("{port} {before}")) }
        }))
    };
    let server = serve_with(make, |_| ());
    for _ in 0..3 {
        let mut client = server.connect();
        let port = client.local_addr().unwrap().port();
        client.ask("a\nb\n", format!("{port} 0\n{port} 1\n"));
        client.ask("c\n", format!("{port} 2\n"));
    }
}

/// A thread whose service never awaits takes over no connection. Connections dispatched to it wait;
/// once its queue was full the acceptor waited too, and with it all other threads.
#[test]
fn fault_24_a_service_that_never_awaits_delays_its_own_thread_only() {
    // More than the queues of both threads hold.
    const CONNECTIONS: usize = 2500;
    let (held, release) = std::sync::mpsc::sync_channel::<()>(0);
    let release = Arc::new(std::sync::Mutex::new(release));
    let sticks = EachLine::new(service_fn(move |line: Line| {
        let release = release.clone();
        async move {
            if &line[..] == b"stick" {
                // Until the test drops the sender, also by a panic.
                let _ = release.lock().unwrap().recv();
            }
            Ok::<_, BoxError>(line)
        }
    }));
    let server = serve(sticks, |settings| settings.server.threads = NonZeroU32::new(2));
    let mut stuck = server.connect();
    stuck.send("stick\n");
    server.metrics_when(|metrics| metrics.get("towline_concurrency_in_use") == 1.0);

    let connections: Vec<Client> = (0..CONNECTIONS).map(|_| server.connect()).collect();
    for _ in 0..10 {
        server.connect().ask("on the other\n", "on the other\n");
    }
    drop(held);
    stuck.expect("stick\n");
    for mut client in connections {
        client.ask("after all\n", "after all\n");
    }
}
