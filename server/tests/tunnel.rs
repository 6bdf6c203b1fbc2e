//! Connections that are byte streams: the example `tunnel`, and many at once.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

#[allow(dead_code, unreachable_pub, reason = "a program, of which only the server is used")]
#[path = "../examples/tunnel.rs"]
mod tunnel;

use std::{future::pending, time::Duration};

use support::shown::does_what_it_shows_in_any_pieces;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use towline::{
    Action, ActionOf, Body, Builder, CloseReason, Cx, Detach, FrameOf, Outcome, Server, Session,
    protocol::Lf, test,
};

const SECOND: Duration = Duration::from_secs(1);

fn builder() -> Builder {
    Server::builder().threads(1).raise_descriptor_limit(true)
}

#[test]
fn tunnel_does_what_its_documentation_shows_however_its_input_is_cut() {
    does_what_it_shows_in_any_pieces("tunnel.rs", || tunnel::server(builder()));
}

#[tokio::test]
async fn bytes_go_both_ways_from_the_first_one_behind_the_command() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = tunnel::server(builder().listen("127.0.0.1:0")).start().unwrap();
    let mut client = TcpStream::connect(server.address().unwrap()).await.unwrap();
    let command = format!("CONNECT {}\n", upstream.local_addr().unwrap());
    // Half a megabyte behind the command, in one write: nothing of it is a line.
    let sent: Vec<u8> = (0..500_000_u32).map(|n| (n % 251) as u8).collect();
    let (mut from_client, mut to_client) = client.split();
    let sends = async {
        to_client.write_all(&[command.as_bytes(), &sent].concat()).await.unwrap();
        to_client.shutdown().await.unwrap();
    };
    let serves = async {
        let (mut tunnel, _) = upstream.accept().await.unwrap();
        let mut came = Vec::new();
        tunnel.read_to_end(&mut came).await.unwrap();
        tunnel.write_all(b"that is all").await.unwrap();
        came
    };
    let mut said = String::new();
    let reads = from_client.read_to_string(&mut said);
    let ((), came, _) = tokio::join!(sends, serves, reads);
    assert!(came == sent, "{} of {} bytes; {said:?}", came.len(), sent.len());
    assert_eq!(said, "OK\nthat is all");
    assert_eq!(server.shutdown().await, Outcome::Clean);
}

/// A session whose connection is a byte stream that never ends.
struct Endless;

impl Session for Endless {
    type Protocol = Lf;

    fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        Action::Detach(Detach::new(|stream| async move {
            pending::<()>().await;
            drop(stream);
        }))
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_byte_streams_are_counted_waited_for_and_cut_at_the_deadline() {
    let builder = builder().drain_timeout(5 * SECOND);
    let stage = test::stage(builder.sessions(|_conn| Endless));
    let mut clients = Vec::new();
    for _ in 0..10_000 {
        let mut client = stage.connect().await;
        client.send("go");
        clients.push(client);
    }
    stage.advance(SECOND).await;
    assert_eq!(stage.metric("towline_connections{state=\"service\"}"), 10_000.0);
    assert_eq!(stage.drain().await, Outcome::Cut(10_000));
}

/// A session whose frames are lengths of bodies.
struct Bodies;

impl Session for Bodies {
    type Protocol = Lf;

    fn on_frame(&mut self, len: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        Action::Body(Body::bytes(str::from_utf8(len).unwrap().parse().unwrap()))
    }

    fn on_body(&mut self, _: &[u8], last: bool, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
        if last { cx.reply("taken") } else { Action::Continue }
    }
}

#[tokio::test(start_paused = true)]
async fn each_piece_of_a_body_comes_within_the_time_for_a_line() {
    let builder = builder().line_timeout(10 * SECOND);
    let stage = test::stage(builder.sessions(|_conn| Bodies));
    let mut client = stage.connect().await;
    client.send("4");
    for piece in ["a", "b", "c", "d"] {
        stage.advance(9 * SECOND).await;
        client.send_raw(piece);
    }
    client.expect("taken").await;
    stage.advance(20 * SECOND).await;
    client.send("4");
    stage.advance(9 * SECOND).await;
    client.send_raw("a");
    stage.advance(11 * SECOND).await;
    assert_eq!(client.is_closed().await, CloseReason::ReadTimeout);
}
