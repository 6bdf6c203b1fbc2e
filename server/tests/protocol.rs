//! A server of another protocol than lines.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{convert::Infallible, io::Read as _, time::Duration};

use support::TestServer;
use tower::Service;
use towline::{
    Admission, Batch, Builder, Framing, Heartbeat, Protocol, RunError, Server, Settings,
    protocol::{BytesMut, CrLf, Delimited, FrameError, FrameLimits, Lf, Notice, Raw, Resp},
    service_fn,
};
use towline_test_support::{Netstring, PATIENCE};

type Words = Netstring<true>;
type Mute = Netstring<false>;

/// Bytes from peers that wait for their replies when they have closed their side.
enum Patient {}

impl Protocol for Patient {
    type Frame<'a> = &'a [u8];

    const HALF_CLOSE: Option<Duration> = None;

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        Raw::delimit(bytes, limits)
    }

    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        Raw::next(bytes)
    }

    fn notice(_: &Notice<'_>, _: &mut BytesMut) {}
}

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
    let expected = "heartbeat.interval = 30s is refused: the protocol Netstring has no word for a \
                    ping, so only off is accepted, unless Builder::ping gives it one";
    assert_eq!(refusal::<Mute>(builder().heartbeat(Heartbeat::default())), expected);
    assert_eq!(refusal::<Mute>(builder().settings(Settings::default())), expected);
    let control = server.running().control();
    let error = control.reload(Settings::default()).unwrap_err();
    assert_eq!(error.to_string(), expected);
    assert_eq!(control.settings().heartbeat.interval, None);
    server.connect().ask("1:a,", "1:a,");
}

/// A program could not give a ping to a protocol that has none, and had to take `ping` for lines.
#[test]
fn a_program_may_have_pings_of_its_own_words() {
    let mut heartbeat = Heartbeat::every(Duration::from_millis(10));
    heartbeat.timeout = PATIENCE;
    let builder = || builder().heartbeat(heartbeat).ping("6:PING x,");
    let server = start::<Mute>(builder().pong(|frame| frame == b"6:PONG x,"));
    let mut client = server.connect();
    client.expect("6:PING x,");
    client.ask("1:a,6:PONG x,6:PONG x,1:b,", "1:a,6:PONG x,1:b,");
    // Without a test for it, an answer is a frame like any other.
    let server = start::<Mute>(builder());
    let mut client = server.connect();
    client.expect("6:PING x,");
    client.ask("6:PONG x,", "6:PONG x,");
}

#[test]
fn a_ping_that_is_no_whole_line_is_refused() {
    for ping in ["", "PING"] {
        let expected =
            format!("the ping \"{ping}\" is refused: expected a whole frame, terminator included");
        assert_eq!(refusal::<Lf>(builder().ping(ping)), expected);
    }
}

#[test]
fn the_protocol_says_what_a_half_close_means_and_the_program_may_say_otherwise() {
    fn half_close<P: Protocol>(builder: Builder) -> Option<Duration> {
        start::<P>(builder).running().control().settings().timeouts.half_close
    }
    const SECOND: Duration = Duration::from_secs(1);
    assert_eq!(half_close::<Words>(builder()), Settings::default().timeouts.half_close);
    assert_eq!(half_close::<Patient>(builder()), None);
    assert_eq!(half_close::<Patient>(builder().half_close_timeout(SECOND)), Some(SECOND));
    let settings = Settings::default();
    let builder =
        builder().settings(settings.clone()).admin("127.0.0.1:0").heartbeat(Heartbeat::off());
    assert_eq!(half_close::<Patient>(builder), settings.timeouts.half_close);
}

/// Clients above a limit were sent a line `ERR …`, whatever they spoke.
#[test]
fn rejected_clients_are_told_in_the_words_of_their_protocol_or_not_at_all() {
    fn rejection<P: Protocol>() -> String {
        let server =
            start::<P>(builder().connections(1).admission(Admission::Reject).frame_max(1024));
        let _first = server.connect();
        server.metrics_when(|metrics| metrics.get("towline_connections_active") == 1.0);
        let mut second = server.connect();
        let mut said = String::new();
        second.read_to_string(&mut said).unwrap();
        said
    }
    assert_eq!(rejection::<Lf>(), "ERR too many connections\n");
    assert_eq!(rejection::<Resp>(), "-ERR max number of clients reached\r\n");
    assert_eq!(rejection::<CrLf>(), "421 too many connections\r\n");
    assert_eq!(rejection::<Raw>(), "");
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
