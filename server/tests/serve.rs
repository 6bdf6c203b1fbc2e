//! `serve` in the caller's own runtime.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use support::echo_service;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
    time::timeout,
};
use towline::{BoxError, EachLine, Line, drain, service_fn};
use towline_test_support::PATIENCE;

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn ask(stream: &mut TcpStream, question: &str, expected: &str) {
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = vec![0; expected.len()];
    timeout(PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8(answer).unwrap(), expected);
}

async fn end(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap().unwrap();
    rest
}

async fn serve_fifty_clients() {
    let (listener, address) = listener().await;
    let upper = service_fn(|line: Line| async move {
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(line.to_ascii_uppercase())
    });
    tokio::spawn(towline::serve(listener, EachLine::new(upper)));
    let clients = (0..50).map(|n| {
        tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            for round in 0..20 {
                let question = format!("client {n}\nround {round}\n");
                ask(&mut stream, &question, &question.to_ascii_uppercase()).await;
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[test]
fn a_multi_thread_runtime_is_served() {
    let runtime = runtime::Builder::new_multi_thread().worker_threads(3).enable_all().build();
    runtime.unwrap().block_on(serve_fifty_clients());
}

#[test]
fn a_current_thread_runtime_is_served() {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.unwrap().block_on(serve_fifty_clients());
}

#[tokio::test]
async fn a_drain_answers_the_line_in_flight_and_ends() {
    let (listener, address) = listener().await;
    let (signal, watch) = drain::channel();
    let (go, wait) = tokio::sync::watch::channel(false);
    let (began, mut begun) = tokio::sync::mpsc::channel(1);
    let service = service_fn(move |lines: towline::Lines| {
        let (mut wait, began) = (wait.clone(), began.clone());
        async move {
            began.send(()).await?;
            wait.wait_for(|go| *go).await?;
            Ok::<_, BoxError>(lines)
        }
    });
    let serving = tokio::spawn(towline::serve_until(listener, service, watch));
    let mut idle = TcpStream::connect(address).await.unwrap();
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(b"in flight\n").await.unwrap();
    begun.recv().await.unwrap();

    signal.drain();
    assert_eq!(end(&mut idle).await, b"");
    drop(idle);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!serving.is_finished(), "a line is in flight");
    go.send(true).unwrap();
    assert_eq!(end(&mut busy).await, b"in flight\n");
    drop(busy);
    timeout(PATIENCE, serving).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_drain_signalled_before_the_start_ends_it_at_once() {
    let (listener, _) = listener().await;
    let (signal, watch) = drain::channel();
    signal.drain();
    timeout(PATIENCE, towline::serve_until(listener, echo_service(), watch))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn dropping_it_stops_accepting_and_keeps_open_connections() {
    let (listener, address) = listener().await;
    let serving = tokio::spawn(towline::serve(listener, echo_service()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream, "before\n", "before\n").await;
    serving.abort();
    let _ = serving.await;
    assert!(TcpStream::connect(address).await.is_err());
    ask(&mut stream, "after\n", "after\n").await;
}

#[tokio::test]
async fn a_panic_in_a_service_ends_that_connection_only() {
    let (listener, address) = listener().await;
    let service = service_fn(|lines: towline::Lines| async move {
        assert!(lines.as_bytes() != b"panic\n", "as the line said");
        Ok::<_, Infallible>(lines)
    });
    tokio::spawn(towline::serve(listener, service));
    let mut other = TcpStream::connect(address).await.unwrap();
    ask(&mut other, "a\n", "a\n").await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"panic\n").await.unwrap();
    let _ = end(&mut stream).await;
    ask(&mut other, "b\n", "b\n").await;
}

/// Serving a caller's listener set five socket options on it.
#[tokio::test]
async fn options_of_the_listener_stay_as_the_caller_left_them() {
    let (listener, address) = listener().await;
    let own = socket2::SockRef::from(&listener).try_clone().unwrap();
    let receive_buffer = own.recv_buffer_size().unwrap();
    tokio::spawn(towline::serve(listener, echo_service()));
    ask(&mut TcpStream::connect(address).await.unwrap(), "a\n", "a\n").await;
    assert_eq!(own.recv_buffer_size().unwrap(), receive_buffer);
    assert!(!own.tcp_nodelay().unwrap() && !own.keepalive().unwrap());
}

/// `serve` began with the settings of the `towline` binary: a client of any protocol was sent the line `ping`
/// after half a minute, and cut ten seconds later. Redis clients took it for the reply to their next command.
#[tokio::test(start_paused = true)]
async fn a_quiet_client_is_sent_nothing_and_stays() {
    let (listener, address) = listener().await;
    tokio::spawn(towline::serve(listener, echo_service()));
    let mut stream = TcpStream::connect(address).await.unwrap();
    ask(&mut stream, "before\n", "before\n").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    stream.write_all(b"after\n").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(end(&mut stream).await, b"after\n");
}
