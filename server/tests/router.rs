//! Routers over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use support::TestServer;
use towline::{
    Args, Close, ReplyError, Router, Server, Value,
    protocol::{Lf, Resp},
};

#[derive(Default)]
struct Counter(i64);

fn add(counter: &mut Counter, args: Args<'_>) -> Result<i64, ReplyError> {
    let by: i64 = args.parse()?;
    counter.0 = counter.0.wrapping_add(by);
    Ok(counter.0)
}

#[test]
fn commands_of_two_protocols_are_the_same_functions() {
    let lines = Router::<Lf, Counter>::new()
        .command("ADD", add)
        .command("QUIT", |_: &mut Counter, _: Args<'_>| Close("bye"));
    let builder = || Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let server = builder().router(lines, |_conn| Counter::default()).start().unwrap();
    let server = TestServer::new(server);
    let mut client = server.connect();
    client.ask(
        "add 2\nADD 3\nadd x\nwhat\n",
        "2\n5\nERR argument 1 is not an integer or out of range\nERR unknown command 'what'\n",
    );
    client.send("QUIT\nADD 1\n");
    client.expect_end("bye\n");

    let resp = Router::<Resp, Counter>::new()
        .command("ADD", add)
        .command("QUIT", |_: &mut Counter, _: Args<'_>| Close(Value::Ok));
    let server = builder().router(resp, |_conn| Counter::default()).start().unwrap();
    let server = TestServer::new(server);
    let mut client = server.connect();
    client.ask("ADD 2\r\n*2\r\n$3\r\nadd\r\n$1\r\n3\r\n*0\r\n\r\n", ":2\r\n:5\r\n");
    client.send("QUIT\r\nADD 1\r\n");
    client.expect_end("+OK\r\n");
    let mut client = server.connect();
    client.send("ADD 7\r\n*1\r\n$-1\r\n");
    client.expect_end(":7\r\n-ERR Protocol error: expected a bulk string\r\n");
    let metrics = server.metrics_when_empty();
    assert_eq!((metrics.closed("service_close"), metrics.closed("malformed")), (1.0, 1.0));
    metrics.assert_connections_add_up();
}

#[test]
fn a_command_that_is_named_twice_is_an_error_at_start() {
    let router = Router::<Lf, Counter>::new().command("ADD", add).command("add", add);
    let server = Server::builder().listen("127.0.0.1:0").router(router, |_conn| Counter::default());
    let error = server.start().unwrap_err().to_string();
    assert_eq!(error, "the router is refused: command \"add\" is named twice");
}

/// 64 KiB of `GET a` against a value of 60 KiB made one reply of 640 MiB.
#[test]
fn a_client_that_takes_no_replies_holds_no_more_than_its_output() {
    let value = vec![b'x'; 60 * 1024];
    let router = Router::<Resp, Vec<u8>>::new()
        .command("GET", |value: &mut Vec<u8>, _: Args<'_>| Value::bulk(&*value));
    let server = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let server = server.router(router, move |_conn| value.clone()).start().unwrap();
    let server = TestServer::new(server);
    let mut client = server.connect();
    client.send("GET a\r\n".repeat(10_000));
    let metrics = server
        .metrics_when(|metrics| metrics.get("towline_connections{state=\"write_wait\"}") == 1.0);
    let held = metrics.get("towline_buffer_bytes{direction=\"write\"}");
    assert!(held <= 512.0 * 1024.0, "it held {held} bytes of replies");
    client.reset();
    server.metrics_when_empty().assert_connections_add_up();
}
