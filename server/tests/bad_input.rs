//! What clients should not send, to programs of the library: each is answered in the protocol's own words or
//! ends in order, with its reason, and disturbs no other connection.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use towline::{Args, CloseReason, ReplyError, Router, Server, protocol::CrLf, test};

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/kv.rs"]
mod kv;

fn kv() -> Server {
    kv::server(Server::builder())
}

/// Sends `input` to `make`'s server in every cut.
#[track_caller]
fn check(make: fn() -> Server, input: impl AsRef<[u8]>, said: &str, reason: CloseReason) {
    let input = input.as_ref();
    let held = test::any_split(make, input);
    let shown = input[..input.len().min(40)].escape_ascii();
    assert_eq!(held.said.escape_ascii().to_string(), said, "to \"{shown}\"");
    assert_eq!(held.reason, reason, "to \"{shown}\"");
}

/// `*1`, `$-5` was an error when it came at once, and the end of the input when it came byte by byte: behind its
/// first line a command of one argument needs six bytes more, of which five came, so it was not looked at again.
#[test]
fn lengths_of_redis_commands_that_lie_are_refused_at_their_first_line() {
    let malformed = |input: &str, why: &str| {
        let said = format!("-ERR Protocol error: {why}\\r\\n");
        check(kv, input, &said, CloseReason::Malformed);
    };
    malformed("*-7\r\n", "invalid multibulk length");
    malformed("*1x\r\n", "invalid multibulk length");
    malformed("*1\r\n$-5\r\n", "expected a bulk string");
    malformed("*1\r\n*1\r\n$4\r\nPING\r\n", "expected a bulk string");
    malformed("*1\r\n$4\r\nPINGxx", "a bulk string without an end of line");
    malformed("*1\r\n$99999999999999999999999999\r\n", "expected a bulk string");
    for input in ["*1000000000\r\n", "*1\r\n$999999999999\r\n"] {
        check(kv, input, "-ERR Protocol error: too long\\r\\n", CloseReason::LineTooLong);
    }
}

#[tokio::test(start_paused = true)]
async fn a_verb_of_64_kib_is_answered_with_its_beginning() {
    let stage = test::stage(kv());
    let mut client = stage.connect().await;
    let (verb, shown) = ("x".repeat(64 << 10), "x".repeat(64));
    for command in [format!("{verb}\r\n"), format!("*1\r\n$65536\r\n{verb}\r\n")] {
        client.send_raw(command);
        client.expect(format!("-ERR unknown command '{shown}'")).await;
    }
}

#[test]
fn a_zero_is_a_byte_like_any_other() {
    let end = CloseReason::PeerEof;
    let set = "*3\r\n$3\r\nSET\r\n$2\r\n\0\0\r\n$3\r\n\0\r\n\r\n";
    let get = "*2\r\n$3\r\nGET\r\n$2\r\n\0\0\r\n";
    check(kv, [set, get].concat(), "+OK\\r\\n$3\\r\\n\\x00\\r\\n\\r\\n", end);
    check(kv, "\0\r\n", "-ERR unknown command \\'\\\\x00\\'\\r\\n", end);
}

/// Lines as mail servers have them, and a handler that panics.
fn lines() -> Server {
    let commands = Router::<CrLf, ()>::new()
        .command("ECHO", |(): &mut (), args: Args<'_>| args.rest().to_vec())
        .command("PANIC", |(): &mut (), _: Args<'_>| -> ReplyError {
            panic!("at a client's word")
        });
    Server::builder().router(commands, |_conn| ())
}

#[test]
fn a_line_feed_alone_smuggles_no_line_past_the_one_before_it() {
    for end in ["\n", "\n.\r\n", "\r.\r\n", "\r\r\n"] {
        let input = format!("ECHO a\r\nECHO b{end}ECHO smuggled\r\n");
        let held = test::any_split(lines, &input);
        let said = String::from_utf8(held.said).unwrap();
        assert!(said.starts_with("a\r\n500 "), "{end:?}: {said:?}");
        assert!(!said.contains("smuggled"), "{end:?}: {said:?}");
        assert_eq!(held.reason, CloseReason::Malformed, "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_handler_ends_its_connection_alone() {
    let stage = test::stage(lines());
    let (mut ann, mut bob) = (stage.connect().await, stage.connect().await);
    bob.send("ECHO before");
    bob.expect("before").await;
    ann.send_raw("ECHO a\r\nPANIC\r\nECHO lost\r\n");
    assert_eq!(ann.is_closed().await, CloseReason::ServicePanic);
    bob.send("ECHO after");
    bob.expect("after").await;
    let panics = "towline_connections_closed_total{reason=\"service_panic\"}";
    assert_eq!(stage.metric(panics), 1.0);
    assert_eq!(stage.metric("towline_connections_active"), 1.0);
}
