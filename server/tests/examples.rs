//! The examples: what their own documentation shows, and more than that over real sockets.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/chat.rs"]
mod chat;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/echo.rs"]
mod echo;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/kv.rs"]
mod kv;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/memcached.rs"]
mod memcached;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/nats.rs"]
mod nats;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/own_runtime.rs"]
mod own_runtime;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/smtp.rs"]
mod smtp;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/upper.rs"]
mod upper;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/ways.rs"]
mod ways;

use support::{TestServer, shown::does_what_it_shows_in_any_pieces};
use towline::{Builder, Server, SlowConsumer};

/// Starts an example on ports of its own.
fn start(example: fn(Builder) -> Server) -> TestServer {
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    TestServer::new(example(builder.raise_descriptor_limit(true)).start().unwrap())
}

#[test]
fn each_example_does_what_its_documentation_shows_however_its_input_is_cut() {
    let builder = || Server::builder().threads(1).raise_descriptor_limit(true);
    does_what_it_shows_in_any_pieces("echo.rs", || echo::server(builder()));
    does_what_it_shows_in_any_pieces("upper.rs", || upper::server(builder()));
    does_what_it_shows_in_any_pieces("kv.rs", || kv::server(builder()));
    does_what_it_shows_in_any_pieces("memcached.rs", || memcached::server(builder()));
    does_what_it_shows_in_any_pieces("own_runtime.rs", || own_runtime::server(builder()));
    let chat = || chat::server(builder(), SlowConsumer::Disconnect);
    does_what_it_shows_in_any_pieces("chat.rs", chat);
    does_what_it_shows_in_any_pieces("nats.rs", || nats::server(builder()));
    let router = || ways::server(builder(), "router").unwrap();
    does_what_it_shows_in_any_pieces("ways.rs", router);
    // More mails than there are runs.
    let (taken, _mails) = tokio::sync::mpsc::channel(10_000);
    does_what_it_shows_in_any_pieces("smtp.rs", || smtp::server(builder(), taken.clone()));
}

#[test]
fn echo_gives_back_what_it_got() {
    start(echo::server).connect().ask("one\ntwo\n", "one\ntwo\n");
}

#[test]
fn upper_shouts() {
    start(upper::server).connect().ask("shout\nlouder\n", "SHOUT\nLOUDER\n");
}

#[test]
fn kv_speaks_as_its_documentation_shows_and_keeps_its_store_for_all() {
    let server = start(kv::server);
    let mut first = server.connect();
    first.ask(
        "PING\r\nSET a 1\r\nGET a\r\nINCR a\r\nGET b\r\nDANCE\r\n",
        "+PONG\r\n+OK\r\n$1\r\n1\r\n:2\r\n$-1\r\n-ERR unknown command 'DANCE'\r\n",
    );
    let mut second = server.connect();
    second.ask(
        "*2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$4\r\n\r\n\0x\r\nGET b\r\n",
        "$1\r\n2\r\n+OK\r\n$4\r\n\r\n\0x\r\n",
    );
    second.ask(
        "DEL a b c\r\nINCR b\r\nSET b x\r\nINCR b\r\nGET\r\n",
        ":2\r\n:1\r\n+OK\r\n-ERR value is not an integer or out of range\r\n\
         -ERR wrong number of arguments for 'get' command\r\n",
    );
    second.ask(
        "SET b y NX\r\nSET n y xx\r\nSET n y PX 1\r\nMSET m 1 n 22\r\nMSET m\r\nSTRLEN n\r\nEXISTS m n o\r\n",
        "$-1\r\n$-1\r\n-ERR syntax error\r\n+OK\r\n\
         -ERR wrong number of arguments for 'mset' command\r\n:2\r\n:2\r\n",
    );
    second.ask(
        "DECR m\r\nINCRBY n -42\r\nINCRBY n x\r\nDBSIZE\r\nFLUSHALL\r\nDBSIZE\r\n",
        ":0\r\n:-20\r\n-ERR value is not an integer or out of range\r\n:3\r\n+OK\r\n:0\r\n",
    );
    second.ask(
        "CONFIG GET save\r\nSELECT 1\r\nHELLO 4\r\nCLIENT SETINFO LIB-NAME x\r\nCLIENT KILL x\r\n",
        "*2\r\n$4\r\nsave\r\n$0\r\n\r\n-ERR DB index is out of range\r\n\
         -NOPROTO unsupported protocol version\r\n+OK\r\n-ERR unknown subcommand\r\n",
    );
    let mut modern = server.connect();
    modern.ask(
        "GET none\r\nHELLO 3\r\nGET none\r\nSET none 1 XX\r\nCONFIG GET save\r\nHELLO 2\r\nGET none\r\n",
        "$-1\r\n%3\r\n$6\r\nserver\r\n$7\r\ntowline\r\n$7\r\nversion\r\n$5\r\n6.0.0\r\n$5\r\nproto\r\n:3\r\n_\r\n_\r\n\
         %1\r\n$4\r\nsave\r\n$0\r\n\r\n\
         *6\r\n$6\r\nserver\r\n$7\r\ntowline\r\n$7\r\nversion\r\n$5\r\n6.0.0\r\n$5\r\nproto\r\n:2\r\n$-1\r\n",
    );
    first.send("QUIT\r\nGET a\r\n");
    first.expect_end("+OK\r\n");
}

#[test]
fn memcached_keeps_values_of_any_bytes_and_says_nothing_where_none_is_wanted() {
    let server = start(memcached::server);
    let mut client = server.connect();
    client
        .ask("set a 7 0 4\r\n\r\nx\0\r\nget a\r\n", "STORED\r\nVALUE a 7 4\r\n\r\nx\0\r\nEND\r\n");
    client.ask("add a 0 0 1\r\nb\r\nadd n 0 0 2\r\n41\r\n", "NOT_STORED\r\nSTORED\r\n");
    client.ask(
        "incr n 1\r\nincr n 1 noreply\r\nget n a none\r\n",
        "42\r\nVALUE n 0 2\r\n43\r\nVALUE a 7 4\r\n\r\nx\0\r\nEND\r\n",
    );
    client.ask(
        "incr a 1\r\nincr none 1\r\nincr n\r\ndelete n\r\ndelete n\r\n\r\nGET a\r\n",
        "CLIENT_ERROR cannot increment or decrement non-numeric value\r\nNOT_FOUND\r\n\
         CLIENT_ERROR wrong number of arguments for 'incr' command\r\nDELETED\r\nNOT_FOUND\r\nERROR\r\n",
    );
    client.ask(
        "replace n 0 0 1\r\nx\r\nappend n 0 0 1\r\nx\r\nset n 3 0 1\r\n7\r\nappend n 0 0 1\r\n0\r\n\
         prepend n 0 0 1 noreply\r\n1\r\nreplace n 4 0 1\r\n9\r\n",
        "NOT_STORED\r\nNOT_STORED\r\nSTORED\r\nSTORED\r\nSTORED\r\n",
    );
    client.ask("decr n 8\r\ndecr n 8\r\ndecr n 8\r\n", "1\r\n0\r\n0\r\n");
    client.ask("flush_all\r\nset c 0 0 1\r\na\r\n", "OK\r\nSTORED\r\n");
    // The changes before were eleven.
    client.ask(
        "gets c none\r\ncas c 0 0 1 11\r\nb\r\ncas c 0 0 1 12\r\nb\r\ncas n 0 0 1 1\r\nb\r\n",
        "VALUE c 0 1 12\r\na\r\nEND\r\nEXISTS\r\nSTORED\r\nNOT_FOUND\r\n",
    );
    let (long, large) = ("k".repeat(251), "v".repeat((1 << 20) + 1));
    client.ask(
        format!("set {long} 0 0 1\r\nx\r\nset c 0 0 {}\r\n{large}\r\n", large.len()),
        "CLIENT_ERROR key too long\r\nSERVER_ERROR object too large for cache\r\n",
    );
    client.ask("verbosity 1\r\nstats\r\n", "OK\r\nSTAT curr_items 1\r\nEND\r\n");
    // Lines may end in LF alone; the body then does, too.
    server.connect().ask("set l 0 0 1 noreply\nx\nget l\n", "VALUE l 0 1\r\nx\r\nEND\r\n");
    client.send("set a 0 0 1\r\nlonger\r\n");
    client.expect_end("ERR malformed: expected the end of the body\r\n");
}

#[test]
fn smtp_takes_mail_as_its_documentation_shows_and_no_bare_line_feed() {
    let (taken, mut mails) = tokio::sync::mpsc::channel(4);
    let builder = Server::builder().listen("127.0.0.1:0").admin("127.0.0.1:0").threads(1);
    let server = TestServer::new(smtp::server(builder, taken).start().unwrap());
    let mut client = server.connect();
    client.ask(
        "HELO me\r\nRCPT TO:<c@d>\r\n",
        "220 mx.example ESMTP\r\n250 mx.example\r\n503 not now\r\n",
    );
    client.send(
        "MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\nhello\r\n..\r\n.\r\nQUIT\r\n",
    );
    client
        .expect_end("250 OK\r\n250 OK\r\n250 OK\r\n354 end with a dot\r\n250 taken\r\n221 bye\r\n");
    let mail = mails.blocking_recv().unwrap();
    assert_eq!((mail.to.len(), &mail.text[..]), (2, &b"hello\r\n.\r\n"[..]));

    for end in ["\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r"] {
        let mut client = server.connect();
        client.expect("220 mx.example ESMTP\r\n");
        client.ask(
            "HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n",
            "250 mx.example\r\n250 OK\r\n250 OK\r\n354 end with a dot\r\n",
        );
        client.send(format!("hello{end}MAIL FROM:<smuggled@b>\r\n"));
        let said = String::from_utf8(client.rest()).unwrap();
        assert!(said.starts_with("500 malformed: bare "), "{end:?}: {said}");
    }
    assert!(mails.try_recv().is_err());
}
