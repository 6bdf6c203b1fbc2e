//! `towline health`: the request, the exit code for each answer, and the longest wait for one.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};
use towline_test_support::{Run, towline, towline_in};

/// An admin port that reads one request and calls `answer`; its thread returns the request line.
fn admin(answer: impl FnOnce(TcpStream) + Send + 'static) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = thread::spawn(move || {
        let (stream, _peer) = listener.accept().unwrap();
        let lines = BufReader::new(stream.try_clone().unwrap()).lines();
        let request: Vec<_> =
            lines.map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        answer(stream);
        request.first().cloned().unwrap()
    });
    (address, thread)
}

fn answering(answer: &'static str) -> (SocketAddr, JoinHandle<String>) {
    admin(move |mut stream| stream.write_all(answer.as_bytes()).unwrap())
}

#[test]
fn a_live_server_is_healthy() {
    let (address, requested) = answering("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n");
    let run = towline(&["health", "--admin", &address.to_string()]);
    assert_eq!(requested.join().unwrap(), "GET /healthz HTTP/1.1");
    let stdout = format!("{address} answered /healthz with 200\n");
    assert_eq!(run, Run { code: 0, stdout, stderr: String::new() });
}

#[test]
fn a_draining_server_is_alive_but_not_ready() {
    let (address, requested) = answering("HTTP/1.1 503 Service Unavailable\r\n\r\n");
    let run = towline(&["health", "--ready", "--admin", &address.to_string()]);
    assert_eq!(requested.join().unwrap(), "GET /readyz HTTP/1.1");
    let stderr = format!("towline: {address} answered /readyz with 503\n");
    assert_eq!(run, Run { code: 1, stdout: String::new(), stderr });
}

#[test]
fn the_address_comes_from_the_environment_too() {
    let (address, requested) = answering("HTTP/1.1 200 OK\r\n\r\n");
    let everywhere = format!("0.0.0.0:{}", address.port());
    let run = towline_in(&[("TOWLINE_SERVER__ADMIN", &everywhere)], &["health"]);
    assert_eq!(run.code, 0, "{run:?}");
    assert_eq!(requested.join().unwrap(), "GET /healthz HTTP/1.1");
}

#[test]
fn a_closed_port_is_unhealthy() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = towline(&["health", "--admin", &free.to_string()]);
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        format!("towline: {free} did not answer /healthz: Connection refused (os error 111)\n")
    );
}

#[test]
fn another_protocol_on_the_port_is_unhealthy() {
    for answer in ["ERR what?\n", "", "HTTP/1.1 2", "HTTP/1.1 xyz hello\r\n"] {
        let (address, _requested) = answering(answer);
        let run = towline(&["health", "--admin", &address.to_string()]);
        assert_eq!(run.code, 1, "{answer:?}: {run:?}");
        let stderr =
            format!("towline: {address} did not answer /healthz: what came back is not HTTP\n");
        assert_eq!(run.stderr, stderr, "{answer:?}");
    }
}

#[test]
fn a_silent_or_trickling_server_is_unhealthy_after_two_seconds() {
    // Silent until the client has left.
    let silent = admin(|mut stream| assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0));
    let trickling = admin(|mut stream| {
        // Fails once the client has left.
        while stream.write_all(b"H").is_ok() {
            thread::sleep(Duration::from_millis(50));
        }
    });
    for (address, requested) in [silent, trickling] {
        let run = towline(&["health", "--admin", &address.to_string()]);
        assert_eq!(run.code, 1);
        assert_eq!(
            run.stderr,
            format!("towline: {address} did not answer /healthz: nothing came back within 2 s\n")
        );
        assert_eq!(requested.join().unwrap(), "GET /healthz HTTP/1.1");
    }
}

#[test]
fn a_configuration_without_an_admin_port_is_unhealthy() {
    let run = towline(&["health", "--admin", "off"]);
    assert_eq!(run.code, 1);
    assert_eq!(run.stderr, "towline: server.admin is off, so there is no port to ask\n");
}
