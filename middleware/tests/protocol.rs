//! Another protocol than lines, through the same codec, loop and layers.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{cell::Cell, convert::Infallible, future::pending, sync::Arc, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};
use tokio_util::codec::Decoder;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};
use towline_middleware::{
    Batch, BatchCodec, BoxError, ErrorReplyLayer, FramingLayer, LineError, TimeoutLayer,
    heartbeat::{Deadlines, HeartbeatLayer},
    protocol::{Delimited, FrameError, FrameLimits, Lf, Notice, Protocol},
    serve::{Serve, WritePolicy},
    stats::{CloseReason, Stats},
};
use towline_test_support::{End, FaultyIo, Netstring, Step, every, serve};

type Texts = Batch<Netstring>;

/// Replies with each frame twice.
fn twice() -> impl Service<
    Texts,
    Response = Texts,
    Error = Infallible,
    Future: Future<Output = Result<Texts, Infallible>> + Send,
> + Clone {
    service_fn(|texts: Texts| async move {
        let mut replies = String::new();
        for text in texts.frames() {
            let text = str::from_utf8(text).unwrap().repeat(2);
            replies += &format!("{}:{text},", text.len());
        }
        Ok(Texts::reply(replies, texts.count() as u32))
    })
}

fn codec() -> BatchCodec<Netstring> {
    BatchCodec::new(8)
}

#[test]
fn replies_do_not_depend_on_how_the_frames_arrive() {
    let input = "3:one,0:,5:three,1:x,";
    for policy in [WritePolicy::Auto, every(1), every(3)] {
        for cut in 1..input.len() {
            let io = FaultyIo::new(input).reads([Step::Take(cut), Step::Pending]);
            let (reason, output) = serve(io, codec(), twice(), policy);
            assert_eq!(reason, CloseReason::PeerEof);
            let output = String::from_utf8(output).unwrap();
            assert_eq!(output, "6:oneone,0:,10:threethree,2:xx,", "cut at {cut}");
        }
    }
}

#[test]
fn a_frame_that_is_too_long_ends_the_connection_in_the_words_of_the_protocol() {
    let (reason, output) = serve(FaultyIo::new("1:a,9:"), codec(), twice(), WritePolicy::Auto);
    assert_eq!(reason, CloseReason::LineTooLong);
    assert_eq!(output, b"2:aa,8:too long,");
}

#[test]
fn a_malformed_frame_ends_the_connection_after_the_replies_before_it() {
    for (input, words) in
        [("1:a,2:bbb", &b"2:aa,16:expected a comma,"[..]), ("1:a,x", b"2:aa,17:expected a length,")]
    {
        let (reason, output) = serve(FaultyIo::new(input), codec(), twice(), WritePolicy::Auto);
        assert_eq!(reason, CloseReason::Malformed);
        assert_eq!(output, words, "{input}");
    }
}

#[test]
fn a_protocol_without_words_ends_the_connection_without_any() {
    let silent = service_fn(|texts: Batch<Netstring<false>>| async { Ok::<_, Infallible>(texts) });
    let codec = BatchCodec::new(8);
    let (reason, output) = serve(FaultyIo::new("1:a,x"), codec, silent, WritePolicy::Auto);
    assert_eq!((reason, &output[..]), (CloseReason::Malformed, &b"1:a,"[..]));
}

#[test]
fn the_rest_of_an_unfinished_frame_is_not_served_at_the_end_of_input() {
    let io = FaultyIo::new("1:a,3:bb").end(End::Eof);
    let (reason, output) = serve(io, codec(), twice(), WritePolicy::Auto);
    assert_eq!((reason, &output[..]), (CloseReason::PeerEof, &b"2:aa,"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_answers_each_frame_in_the_words_of_the_protocol() {
    let service = ServiceBuilder::new()
        .layer(ErrorReplyLayer::new())
        .layer(TimeoutLayer::new(Duration::from_secs(5)))
        .service_fn(|_: Texts| pending::<Result<Texts, BoxError>>());
    let reply = service.oneshot(Texts::new("1:a,1:b,").unwrap()).await.unwrap();
    assert_eq!((reply.as_bytes(), reply.count()), (&b"7:timeout,7:timeout,"[..], 2));
}

#[tokio::test(start_paused = true)]
async fn a_heartbeat_is_said_and_answered_in_the_words_of_the_protocol() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let deadlines =
        Deadlines::new().heartbeat(Some(Duration::from_secs(30)), Duration::from_secs(10));
    let mut connections = ServiceBuilder::new()
        .layer(FramingLayer::new(BatchCodec::<Netstring>::new, 64))
        .layer(HeartbeatLayer::new(deadlines, stats.clone()))
        .service(Serve::new(twice()).stats(stats.clone()));
    let (mut client, server) = duplex(64);
    let connection = tokio::spawn(connections.call(server));
    let mut expect = async |input: &str, output: &str| {
        client.write_all(input.as_bytes()).await.unwrap();
        let mut read = vec![0; output.len()];
        client.read_exact(&mut read).await.unwrap();
        assert_eq!(String::from_utf8(read).unwrap(), output);
    };
    expect("", "4:ping,").await;
    expect("1:a,4:pong,1:b,", "2:aa,2:bb,").await;
    expect("4:pong,", "8:pongpong,").await;
    expect("", "4:ping,").await;
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::HeartbeatTimeout);
    assert_eq!((stats.heartbeats_sent.get(), stats.heartbeats_missed.get()), (2, 1));
}

#[test]
fn a_batch_knows_its_frames_and_splits_between_them() {
    let mut texts = Texts::new("1:a,0:,3:b:c,").unwrap();
    assert_eq!(texts.count(), 3);
    assert!(texts.frames().eq([&b"a"[..], b"", b"b:c"]));
    let head = texts.split_to(2);
    assert_eq!((head.as_bytes(), head.count()), (&b"1:a,0:,"[..], 2));
    assert_eq!((texts.as_bytes(), texts.count()), (&b"3:b:c,"[..], 1));
    assert_eq!(Texts::new("1:a,1:"), None);
    assert_eq!(Texts::new("nonsense"), None);
}

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Netstrings that count how often they are asked for.
enum Counted {}

impl Protocol for Counted {
    type Frame<'a> = &'a [u8];

    fn delimit(bytes: &[u8], limits: &FrameLimits) -> Result<Delimited, FrameError> {
        ASKED.set(ASKED.get() + 1);
        Netstring::<true>::delimit(bytes, limits)
    }

    fn next<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
        Netstring::<true>::next(bytes)
    }

    fn notice(_: &Notice<'_>, _: &mut BytesMut) {}
}

#[test]
fn a_frame_that_trickles_in_is_looked_at_when_it_can_be_whole() {
    let text = "x".repeat(10_000);
    let frame = format!("10000:{text},1:y,");
    let (mut codec, mut read, mut batches) =
        (BatchCodec::<Counted>::new(10_000), BytesMut::new(), Vec::new());
    for byte in frame.bytes() {
        read.extend_from_slice(&[byte]);
        batches.extend(codec.decode(&mut read).unwrap().map(Batch::into_bytes));
    }
    assert_eq!(batches.concat(), frame.as_bytes());
    assert!(ASKED.get() < 20, "asked {} times for two frames", ASKED.get());
}

#[test]
fn errors_of_a_codec_say_what_is_wrong() {
    let error = codec().decode(&mut BytesMut::from("x")).unwrap_err();
    assert_eq!(error.to_string(), "malformed frame: expected a length");
    let error = codec().decode(&mut BytesMut::from("9:")).unwrap_err();
    assert!(matches!(error, LineError::TooLong { limit_bytes: 8 }), "{error:?}");
}

#[test]
fn a_protocol_has_a_heartbeat_if_it_has_a_word_for_it() {
    assert!(Lf::has_ping() && Netstring::<true>::has_ping() && !Netstring::<false>::has_ping());
}
