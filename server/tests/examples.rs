//! The sessions that the examples' own documentation shows.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/echo.rs"]
mod echo;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/gateway.rs"]
mod gateway;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/kv.rs"]
mod kv;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/upper.rs"]
mod upper;

use support::TestServer;
use towline::{Builder, Server};

/// Starts an example on ports of its own.
fn start(example: fn(Builder) -> Server) -> TestServer {
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    TestServer::new(example(builder.raise_descriptor_limit(true)).start().unwrap())
}

#[test]
fn echo_gives_back_what_it_got() {
    start(echo::server).connect().ask("one\ntwo\n", "one\ntwo\n");
}

#[test]
fn upper_shouts_and_one_slow_line_fails_alone() {
    let server = start(upper::server);
    server.connect().ask("shout\nlouder\nslow\nand on\n", "SHOUT\nLOUDER\nERR timeout\nAND ON\n");
}

#[test]
fn kv_keeps_its_store_for_all_and_its_session_for_one() {
    let server = start(kv::server);
    let mut first = server.connect();
    first.ask(
        "GET a\nAUTH sesame\nSET a 1\nGET a\nDEL a\nGET a\nDANCE\n",
        "ERR say AUTH first\nOK\nOK\n1\nOK\nNIL\nERR expected AUTH, GET, SET or DEL\n",
    );
    first.ask("SET greeting hello there\r\n", "OK\n");
    let mut second = server.connect();
    second.ask("GET greeting\n", "ERR say AUTH first\n");
    second.ask("AUTH wrong\nAUTH sesame\nGET greeting\n", "ERR wrong word\nOK\nhello there\n");
    second.ask("DEL nothing\nGET a b\nSET a\n\n", &{
        let help = "ERR expected AUTH, GET, SET or DEL\n";
        ["NIL\n", help, help, help].concat()
    });
}

#[test]
fn gateway_knows_its_devices_and_holds_each_to_its_rate() {
    let server = start(gateway::server);
    let mut boiler = server.connect();
    boiler.ask(
        "temp 21.5\nHELLO boiler\ntemp 21.5\ntemp 23.5\ntemp hot\nLAST temp\n",
        "ERR say HELLO first\nhello boiler\nOK\nOK\nERR expected a name and a number\n23.5 after 2\n",
    );
    let mut hasty = server.connect();
    hasty.ask("HELLO hasty\n", "hello hasty\n");
    let many = 3 * gateway::RATE as usize;
    hasty.send("n 1\n".repeat(many));
    hasty.end_of_input();
    let replies = String::from_utf8(hasty.rest()).unwrap();
    assert_eq!(replies.lines().count(), many);
    assert!(replies.starts_with("OK\n") && replies.contains("ERR too fast\n"), "{replies}");
    let mut wordy = server.connect();
    wordy.send([b'x'; 257]);
    wordy.expect_end("ERR line too long\n");
}
