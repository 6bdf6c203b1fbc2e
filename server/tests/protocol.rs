//! A server of another protocol than lines.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, time::Duration};

use support::TestServer;
use tower::Service;
use towline::{
    Batch, Builder, Framing, Heartbeat, Protocol, RunError, Server, Settings, protocol::Lf,
    service_fn,
};
use towline_test_support::Netstring;

type Words = Netstring<true>;
type Mute = Netstring<false>;

fn echo<P: Protocol>() -> impl Service<
    Batch<P>,
    Response = Batch<P>,
    Error = Infallible,
    Future: Future<Output = Result<Batch<P>, Infallible>> + Send + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    service_fn(|batch: Batch<P>| async move { Ok::<_, Infallible>(batch) })
}

fn builder() -> Builder {
    Server::builder().threads(1).listen("127.0.0.1:0").admin("127.0.0.1:0").frame_max(64)
}

fn start<P: Protocol>(builder: Builder) -> TestServer {
    TestServer::new(builder.protocol::<P>().serve(echo::<P>()).start().unwrap())
}

#[track_caller]
fn refusal<P: Protocol>(builder: Builder) -> String {
    let error: RunError = builder.protocol::<P>().serve(echo::<P>()).start().unwrap_err();
    assert!(error.is_usage());
    error.to_string()
}

#[test]
fn frames_are_served_and_bad_ones_end_their_connection_with_a_reason() {
    let server = start::<Words>(builder());
    let mut client = server.connect();
    client.ask("3:one,3:t\no,", "3:one,3:t\no,");
    client.send("1:a,nonsense");
    client.expect_end("1:a,17:expected a length,");
    let mut client = server.connect();
    client.send("65:");
    client.expect_end("8:too long,");
    let metrics = server.metrics_when_empty();
    assert_eq!((metrics.closed("malformed"), metrics.closed("line_too_long")), (1.0, 1.0));
    assert_eq!(metrics.get("towline_lines_received_total"), 3.0);
    metrics.assert_connections_add_up();
}

#[test]
fn each_connection_may_have_a_service_of_its_own() {
    let server = builder().protocol::<Words>().serve_with(|peer| {
        let text = peer.address().unwrap().ip().to_string();
        let reply = format!("{}:{text},", text.len());
        service_fn(move |batch: Batch<Words>| {
            let reply = Batch::reply(reply.clone(), batch.count() as u32);
            async move { Ok::<_, Infallible>(reply) }
        })
    });
    let server = TestServer::new(server.start().unwrap());
    server.connect().ask("0:,", "9:127.0.0.1,");
}

#[test]
fn a_heartbeat_is_said_in_the_words_of_the_protocol() {
    let mut heartbeat = Heartbeat::default();
    heartbeat.interval = Some(Duration::from_millis(10));
    let server = start::<Words>(builder().heartbeat(heartbeat));
    let mut client = server.connect();
    client.expect("4:ping,");
    client.ask("4:pong,1:a,", "1:a,");
}

#[test]
fn a_protocol_without_a_ping_has_no_heartbeat_unless_it_is_asked_for() {
    let server = start::<Mute>(builder());
    assert_eq!(server.running().control().settings().heartbeat.interval, None);
    let expected = "heartbeat.interval = 30s is refused: the protocol has no word for a ping, so only \
                    off is accepted";
    assert_eq!(refusal::<Mute>(builder().heartbeat(Heartbeat::default())), expected);
    assert_eq!(refusal::<Mute>(builder().settings(Settings::default())), expected);
    let control = server.running().control();
    let error = control.reload(Settings::default()).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(control.settings().heartbeat.interval, None);
    server.connect().ask("1:a,", "1:a,");
}

#[test]
fn lines_by_their_protocol_are_lines() {
    let server = start::<Lf>(builder());
    server.connect().ask("one\ntwo\n", "one\ntwo\n");
}

#[test]
fn the_framing_of_utf_8_lines_is_refused_for_another_protocol() {
    let refusal = refusal::<Words>(builder().framing(Framing::Lines));
    assert!(refusal.starts_with("workload.framing = \"lines\" is refused"), "{refusal}");
}
