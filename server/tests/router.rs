//! Routers over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, time::Duration};

use support::TestServer;
use towline::{
    Args, Close, Deferred, Lines, ReplyError, Router, Server, Value,
    protocol::{Lf, Resp},
    service_fn,
};
use towline_test_support::Metrics;

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

fn wait(_: &mut Counter, args: Args<'_>) -> Result<Deferred<Lf, Counter>, ReplyError> {
    let millis: u64 = args.parse()?;
    Ok(Deferred::new(async move {
        tokio::time::sleep(Duration::from_millis(millis)).await;
        "waited"
    }))
}

#[test]
fn commands_that_wait_together_have_a_permit_each_and_end_with_their_client() {
    let router = Router::<Lf, Counter>::new().command("ADD", add).command("WAIT", wait);
    let server = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let router = router.overlap_tagged(8);
    let server = server.router(router, |_conn| Counter::default()).start().unwrap();
    let server = TestServer::new(server);
    let mut client = server.connect();
    client.send("WAIT 3600000\n".repeat(5));
    // One of a later read.
    client.ask("ADD 2\n", "2\n");
    client.ask("WAIT 1\nADD 3\n", "5\nwaited\n");
    server.metrics_when(|metrics| metrics.get("towline_concurrency_in_use") == 5.0);
    client.reset();
    server.metrics_when_empty().assert_connections_add_up();
    server.metrics_when(|metrics| metrics.get("towline_concurrency_in_use") == 0.0);
}

#[test]
fn commands_are_counted_by_their_names_and_no_verb_of_a_client_adds_a_series() {
    const UNKNOWN: usize = 1_000;
    let router = Router::<Lf, Counter>::new()
        .command("ADD", add)
        .timed()
        .command("WAIT", wait)
        .within(Duration::from_millis(100))
        // A label value that must be escaped.
        .command("\\\"", |_: &mut Counter, _: Args<'_>| ())
        .timed();
    let server = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(2);
    let server = server.router(router, |_conn| Counter::default()).start().unwrap();
    let server = TestServer::new(server);
    let first = server.metrics();
    let total = |metrics: &Metrics, command: &str, result: &str| {
        let labels = format!("command=\"{command}\",result=\"{result}\"");
        metrics.get(&format!("towline_commands_total{{{labels}}}"))
    };
    for command in ["ADD", "WAIT", "\\\\\\\"", "other"] {
        for result in ["ok", "error", "timeout", "shed"] {
            assert_eq!(total(&first, command, result), 0.0, "{command} {result}");
        }
    }
    // Connections of both threads count together.
    for _ in 0..2 {
        let mut client = server.connect();
        client.ask("add 2\nADD 3\n\nadd x\n\\\"\nwait 1\nwait 60000\n", {
            "2\n5\nERR argument 1 is not an integer or out of range\nwaited\nERR timeout\n"
        });
        let verbs = (0..UNKNOWN).map(|n| format!("what-{n}{{a=\"b\"}}\n"));
        let answers = (0..UNKNOWN).map(|n| {
            let shown = format!("what-{n}{{a=\"b\"}}").escape_default().to_string();
            format!("ERR unknown command '{shown}'\n")
        });
        client.ask(verbs.collect::<String>(), answers.collect::<String>());
    }
    let last = server.metrics_when_empty();
    assert_eq!(first.names(), last.names());
    assert_eq!(total(&last, "ADD", "ok"), 4.0);
    assert_eq!(total(&last, "ADD", "error"), 2.0);
    assert_eq!(total(&last, "\\\\\\\"", "ok"), 2.0);
    assert_eq!(total(&last, "WAIT", "ok"), 2.0);
    assert_eq!(total(&last, "WAIT", "timeout"), 2.0);
    assert_eq!(total(&last, "other", "error"), 2.0 * UNKNOWN as f64);
    // All lines but the two empty ones.
    let commands = last.sum("towline_commands_total");
    assert_eq!(commands + 2.0, last.sum("towline_lines_processed_total"));
    let took = |metric: &str| last.get(&format!("towline_command_duration_seconds_{metric}"));
    assert_eq!(took("count{command=\"ADD\"}"), 6.0);
    assert_eq!(took("bucket{command=\"ADD\",le=\"+Inf\"}"), 6.0);
    assert_eq!(took("count{command=\"\\\\\\\"\"}"), 2.0);
    // Of two timed commands: 22 bounds, infinity, sum and count.
    let names = last.names().into_iter();
    let durations = names.filter(|name| name.starts_with("towline_command_duration_seconds"));
    assert_eq!(durations.count(), 2 * 25);
}

#[test]
fn a_server_without_timed_commands_has_no_durations_and_one_without_a_router_no_commands() {
    let exports = |server: Server, family: &str| {
        let server = TestServer::new(server.start().unwrap());
        server.metrics().names().iter().any(|name| name.starts_with(family))
    };
    let builder = || Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let routed = || {
        let router = Router::<Lf, Counter>::new().command("ADD", add);
        builder().router(router, |_conn| Counter::default())
    };
    assert!(exports(routed(), "towline_commands_total"));
    assert!(!exports(routed(), "towline_command_duration"));
    let echo = service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) });
    assert!(!exports(builder().serve(echo), "towline_command"));
}
