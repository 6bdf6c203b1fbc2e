//! Servers in the caller's own runtime that end in disorder: futures that are dropped, runtimes that stop, hooks that
//! panic, several servers beside each other.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use support::{TestServer, echo_service};
use tokio::{
    net::TcpListener,
    runtime::{self, Runtime},
    time::timeout,
};
use towline::{
    Args, BoxError, Close, Lines, Outcome, Router, Server, drain, protocol::Lf, service_fn,
};
use towline_test_support::{Client, PATIENCE, wait_until};

fn runtimes() -> [Runtime; 2] {
    let current = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut multi = runtime::Builder::new_multi_thread();
    [current, multi.worker_threads(2).enable_all().build().unwrap()]
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Runs what a client does on a thread that may block.
async fn blocking<T: Send + 'static>(client: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(client).await.unwrap()
}

#[test]
fn servers_in_one_runtime_drain_and_fail_each_for_itself() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (signal, watch) = drain::channel();
            let (first, first_address) = listener().await;
            let (second, second_address) = listener().await;
            let short = Server::builder().frame_max(4).serve(echo_service());
            let serving = tokio::spawn(short.run_on_until(first, watch));
            tokio::spawn(Server::builder().serve(echo_service()).run_on(second));
            let (one, mut two) = blocking(move || {
                let (mut one, mut two) =
                    (Client::connect(first_address), Client::connect(second_address));
                one.ask("a\n", "a\n");
                two.ask("longer than four\n", "longer than four\n");
                (one, two)
            })
            .await;
            signal.drain();
            drop(one);
            let outcome = timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
            assert_eq!(outcome, Outcome::Clean);
            blocking(move || two.ask("still here\n", "still here\n")).await;
        });
    }
}

#[test]
fn a_drain_that_was_signalled_before_the_server_ran_ends_it_at_once() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (signal, watch) = drain::channel();
            signal.drain();
            let (listener, _) = listener().await;
            let server = Server::builder().serve(echo_service());
            let outcome = timeout(PATIENCE, server.run_on_until(listener, watch)).await.unwrap();
            assert_eq!(outcome.unwrap(), Outcome::Clean);
        });
    }
}

#[test]
fn a_signal_that_is_dropped_drains_nothing() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (signal, watch) = drain::channel();
            let (listener, address) = listener().await;
            let server = Server::builder().serve(echo_service());
            let serving = tokio::spawn(server.run_on_until(listener, watch));
            drop(signal);
            blocking(move || Client::connect(address).ask("a\n", "a\n")).await;
            assert!(!serving.is_finished());
        });
    }
}

#[test]
fn a_future_that_is_dropped_closes_its_port_and_leaves_connections_open() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (listener, address) = listener().await;
            let serving = tokio::spawn(Server::builder().serve(echo_service()).run_on(listener));
            let mut client = blocking(move || {
                let mut client = Client::connect(address);
                client.ask("a\n", "a\n");
                client
            })
            .await;
            serving.abort();
            let _ = serving.await;
            blocking(move || {
                wait_until("the port is closed", || std::net::TcpStream::connect(address).is_err());
                client.ask("b\n", "b\n");
            })
            .await;
        });
    }
}

#[test]
fn a_runtime_that_stops_while_it_serves_ends_the_connections() {
    for runtime in runtimes() {
        let (mut client, address) = runtime.block_on(async {
            let (listener, address) = listener().await;
            tokio::spawn(Server::builder().serve(echo_service()).run_on(listener));
            let client = blocking(move || {
                let mut client = Client::connect(address);
                client.ask("a\n", "a\n");
                client
            });
            (client.await, address)
        });
        drop(runtime);
        client.expect_end("");
        assert!(std::net::TcpStream::connect(address).is_err(), "the port is closed");
    }
}

/// The slot of a connection whose hook panics is free again, and the server drains.
#[test]
fn a_panic_in_a_hook_of_a_router_ends_that_connection_only() {
    for runtime in runtimes() {
        runtime.block_on(async {
            let (signal, watch) = drain::channel();
            let (listener, address) = listener().await;
            let commands = Router::<Lf, ()>::new()
                .on_close(|(), _| panic!("a bug in on_close"))
                .command("PING", |_: &mut (), _: Args<'_>| "PONG")
                .command("QUIT", |_: &mut (), _: Args<'_>| Close("bye"));
            let server = Server::builder().connections(1).router(commands, |_conn| ());
            let serving = tokio::spawn(server.run_on_until(listener, watch));
            blocking(move || {
                for _ in 0..3 {
                    let mut client = Client::connect(address);
                    client.ask("PING\n", "PONG\n");
                    client.send("QUIT\n");
                    client.expect_end("bye\n");
                }
            })
            .await;
            signal.drain();
            let outcome = timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
            assert_eq!(outcome, Outcome::Clean);
        });
    }
}

/// Called on several threads, some of which block and some of which panic: once for each connection.
#[test]
fn the_hook_of_service_errors_is_called_once_for_each_connection_from_many_threads() {
    const CLIENTS: usize = 64;
    let calls = Arc::<Mutex<HashMap<SocketAddr, u32>>>::default();
    let counts = calls.clone();
    let fail = service_fn(|_: Lines| async { Err::<Lines, BoxError>("a bug".into()) });
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .admin("127.0.0.1:0")
        .threads(4)
        .on_service_error(move |peer, _| {
            let peer = peer.and_then(|peer| peer.address()).unwrap();
            let calls = {
                let mut counts = counts.lock().unwrap();
                *counts.entry(peer).or_default() += 1;
                counts.len()
            };
            match calls % 3 {
                0 => panic!("a bug in the hook"),
                1 => std::thread::sleep(Duration::from_millis(10)),
                _ => {}
            }
        })
        .serve(fail);
    let server = TestServer::new(server.start().unwrap());
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.connect()).collect();
    for client in &mut clients {
        client.send("a\nb\nc\n");
    }
    for client in &mut clients {
        client.expect_end("");
    }
    let ports = clients.iter().map(|client| client.local_addr().unwrap());
    let expected: HashMap<_, _> = ports.map(|address| (address, 1)).collect();
    wait_until("every error is handed over", || calls.lock().unwrap().len() == CLIENTS);
    drop(clients);
    let metrics = server.metrics_when_empty();
    assert_eq!(metrics.closed("service_error"), CLIENTS as f64);
    assert_eq!(*calls.lock().unwrap(), expected);
}

/// A reply that is blocked holds the connection; the end of its peer is known from the write, long before the write
/// timeout.
#[test]
fn a_peer_that_resets_while_a_reply_is_blocked_is_seen_before_the_write_timeout() {
    let server = Server::builder()
        .listen("127.0.0.1:0")
        .admin("127.0.0.1:0")
        .threads(1)
        .write_timeout(Duration::from_secs(3600))
        .serve(echo_service());
    let server = TestServer::new(server.start().unwrap());
    let mut client = server.connect();
    client.send_until_stuck();
    client.reset();
    let metrics = server.metrics_when_empty();
    assert_eq!((metrics.closed("peer_reset"), metrics.closed("write_timeout")), (1.0, 0.0));
}

#[test]
fn a_port_that_is_taken_is_a_sentence_with_the_address() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let server = Server::builder().listen(&address.to_string()).serve(echo_service());
    let error = server.start().unwrap_err().to_string();
    assert!(error.contains(&address.to_string()), "{error}");
    assert!(error.to_lowercase().contains("in use"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
}
