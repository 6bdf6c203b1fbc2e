//! Commands whose lines announce a body, and their router.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::HashMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tower::service_fn;
use towline_middleware::{
    BatchCodec,
    drain::Watch,
    protocol::{Head, LineWithBody},
    reply::{Args, Close, ReplyError},
    router::{Command, Router},
    session::serve_session,
};

/// `set KEY BYTES`.
enum Store {}

impl Head for Store {
    fn body_bytes(line: &[u8]) -> Result<Option<usize>, &'static str> {
        let args = Args::words(line);
        if args.verb() != b"set" {
            return Ok(None);
        }
        let bytes = args.iter().nth(1).and_then(|arg| str::from_utf8(arg).ok()?.parse().ok());
        bytes.map(Some).ok_or("expected a length")
    }

    fn error_text(error: &ReplyError) -> String {
        format!("CLIENT_ERROR {}", error.text())
    }
}

type Text = LineWithBody<Store>;
type State = HashMap<Vec<u8>, Vec<u8>>;

fn set(state: &mut State, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let (key, bytes): (&[u8], usize) = args.parse()?;
    let body = args.body().unwrap_or_default();
    assert_eq!(body.len(), bytes);
    state.insert(key.to_vec(), body.to_vec());
    Ok("STORED")
}

fn get(state: &mut State, args: Args<'_>) -> Result<Option<Vec<u8>>, ReplyError> {
    assert_eq!(args.body(), None);
    let [key] = args.exactly()?;
    Ok(state.get(key).cloned())
}

fn delete(state: &mut State, args: Args<'_>) -> Result<&'static str, ReplyError> {
    let [key] = args.exactly()?;
    Ok(if state.remove(key).is_some() { "DELETED" } else { "NOT_FOUND" })
}

/// Answers with the length of the body that came with it, in memory of its own.
async fn measure(command: Command<Text>) -> Result<usize, ReplyError> {
    let args = command.clone();
    args.args().body().map(<[u8]>::len).ok_or(ReplyError::new("no body"))
}

/// What is said to `input` until the connection ends.
async fn said(router: Router<Text, State>, input: &[u8]) -> String {
    let (mut client, server) = duplex(1024);
    client.write_all(input).await.unwrap();
    client.shutdown().await.unwrap();
    let session = router.build().unwrap().session(State::new());
    serve_session(server, BatchCodec::new(64), session, Watch::never()).await.unwrap();
    let mut said = String::new();
    client.read_to_string(&mut said).await.unwrap();
    said
}

fn router() -> Router<Text, State> {
    Router::new()
        .exact_case()
        .command("set", set)
        .command("get", get)
        .command("delete", delete)
        .command("quit", |_: &mut State, _: Args<'_>| Close(()))
        .fallback(|_: &mut State, _: Args<'_>| "ERROR")
}

#[tokio::test(start_paused = true)]
async fn a_command_has_the_words_of_its_line_and_the_body_behind_it() {
    let input = b"set k 7\r\nget k\r\n\r\nget k\r\nset e 0\r\n\r\nget e\r\n\
        delete k\r\ndelete k\r\nget\r\nSET k 1\r\nquit\r\nget e\r\n";
    // A line end within a value is not the end of a line; said as text, it is a space.
    assert_eq!(
        said(router(), input).await,
        "STORED\r\nget k  \r\nSTORED\r\n\r\nDELETED\r\nNOT_FOUND\r\n\
         CLIENT_ERROR wrong number of arguments for 'get' command\r\nERROR\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_of_a_command_has_its_body_too() {
    let router =
        Router::new().service("set", service_fn(measure)).service("get", service_fn(measure));
    assert_eq!(
        said(router, b"set k 3\r\na\r\n\r\nget k\r\nset k 0\r\n\r\n").await,
        "3\r\nCLIENT_ERROR no body\r\n0\r\n"
    );
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_end_where_its_line_says_ends_the_connection() {
    for (input, end) in [
        (&b"set k 1\r\nlonger\r\n"[..], "ERR malformed: expected the end of the body\r\n"),
        (b"set k x\r\n", "ERR malformed: expected a length\r\n"),
        (b"set k 99999999999999999999\r\n", "ERR malformed: expected a length\r\n"),
        (b"set k 999999999\r\n", "ERR line too long\r\n"),
    ] {
        let input = [b"set k 1\r\nx\r\n", input].concat();
        assert_eq!(said(router(), &input).await, format!("STORED\r\n{end}"));
    }
}
