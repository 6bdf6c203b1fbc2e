//! How long a session lets the frames of its connection be.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{fmt::Write as _, marker::PhantomData, sync::Arc, time::Duration};

use proptest::{collection::vec, prelude::*};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::JoinHandle,
    time::sleep,
};
use towline_middleware::{
    BatchCodec, BoxError, LineLimits,
    drain::Watch,
    protocol::{AnyEol, CrLf, Length, Lf, Notice, Protocol},
    reply::{Args, Replies, ReplyError},
    router::Router,
    session::{Action, ActionOf, Cx, Deferred, FrameOf, Overlap, Session, serve_session},
    stats::CloseReason,
};

const KIB: usize = 1024;

/// Says how long each frame is. `MAX n` lets those behind it be of `n` bytes, `SOON n` after a wait, and `WAIT n`
/// only waits; dots at the end make such a frame longer.
struct Limited<P> {
    first: Option<usize>,
    overlap: Overlap,
    protocol: PhantomData<fn() -> P>,
}

impl<P> Session for Limited<P>
where
    P: Replies + for<'a> Protocol<Frame<'a> = &'a [u8]>,
{
    type Protocol = P;

    fn on_open(&mut self, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        if let Some(bytes) = self.first {
            cx.frame_max(bytes);
        }
        Action::Continue
    }

    fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, P>) -> ActionOf<Self> {
        let text = String::from_utf8_lossy(frame);
        let Some((command, bytes)) = text.split_once(' ') else {
            return cx.reply(frame.len() as u64);
        };
        let bytes = bytes.trim_end_matches('.').parse().unwrap();
        if command == "MAX" {
            cx.frame_max(bytes);
            return cx.reply("OK");
        }
        let changes = command == "SOON";
        let wait = sleep(Duration::from_millis(1));
        Action::Deferred(Deferred::then(wait, move |_: &mut Self, (), cx| {
            if changes {
                cx.frame_max(bytes);
            }
            cx.reply("OK")
        }))
    }

    fn overlap(&self) -> Overlap {
        self.overlap
    }
}

type Ended = JoinHandle<Result<CloseReason, BoxError>>;

/// A connection whose frames may be of `first` bytes at first, and of 64 KiB at most.
fn served<P>(first: impl Into<Option<usize>>) -> (DuplexStream, Ended)
where
    P: Replies + for<'a> Protocol<Frame<'a> = &'a [u8]>,
{
    served_by(BatchCodec::<P>::new(64 * KIB), first, Overlap::OFF)
}

fn served_by<P>(
    codec: BatchCodec<P>,
    first: impl Into<Option<usize>>,
    overlap: Overlap,
) -> (DuplexStream, Ended)
where
    P: Replies + for<'a> Protocol<Frame<'a> = &'a [u8]>,
{
    let (client, server) = duplex(KIB * KIB);
    let session = Limited { first: first.into(), overlap, protocol: PhantomData };
    (client, tokio::spawn(serve_session(server, codec, session, Watch::never())))
}

async fn expect(client: &mut DuplexStream, replies: &str) {
    let mut read = vec![0; replies.len()];
    client.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), replies);
}

async fn expect_end(mut client: DuplexStream, ended: Ended, replies: &str, reason: CloseReason) {
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    drop(client);
    assert_eq!((read.as_str(), ended.await.unwrap().unwrap()), (replies, reason));
}

#[tokio::test(start_paused = true)]
async fn frames_are_short_before_login_and_long_after() {
    let long = "x".repeat(60 * KIB);
    let (mut client, _ended) = served::<Lf>(64);
    client.write_all(format!("MAX 70000\n{long}\n{long}\n").as_bytes()).await.unwrap();
    expect(&mut client, "OK\n61440\n61440\n").await;
    client.write_all(format!("{long}\n").as_bytes()).await.unwrap();
    expect(&mut client, "61440\n").await;

    let (mut client, ended) = served::<Lf>(64);
    let line = "x".repeat(64);
    // Not finished, and too long already.
    client.write_all(format!("{line}\n{line}x").as_bytes()).await.unwrap();
    expect_end(client, ended, "64\nERR line too long\n", CloseReason::LineTooLong).await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_codec_is_the_most() {
    let (mut client, ended) = served::<Lf>(usize::MAX);
    let (fits, too_long) = ("x".repeat(64 * KIB), "x".repeat(64 * KIB + 1));
    client.write_all(format!("MAX 9999999999\n{fits}\n{too_long}\n").as_bytes()).await.unwrap();
    expect_end(client, ended, "OK\n65536\nERR line too long\n", CloseReason::LineTooLong).await;
}

#[tokio::test(start_paused = true)]
async fn a_length_is_refused_by_its_first_bytes() {
    let (mut client, ended) = served::<Length<4>>(16);
    client.write_all(&17_u32.to_be_bytes()).await.unwrap();
    expect_end(client, ended, "", CloseReason::LineTooLong).await;
    let (mut client, _ended) = served::<Length<4>>(16);
    client.write_all(b"\0\0\0\x06MAX 17\0\0\0\x1112345678901234567").await.unwrap();
    expect(&mut client, "\0\0\0\x02OK\0\0\0\x0217").await;
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_read_already_is_held_to_a_limit_that_comes_after() {
    let (mut client, ended) = served::<CrLf>(None);
    client.write_all(b"123456789\r\nMAX 8\r\n12345678\r\n123456789\r\nMAX 9\r\n").await.unwrap();
    let replies = "9\r\nOK\r\n8\r\n500 line too long\r\n";
    expect_end(client, ended, replies, CloseReason::LineTooLong).await;
}

#[tokio::test(start_paused = true)]
async fn an_unfinished_frame_is_held_to_a_limit_that_comes_after() {
    struct Soon;
    impl Session for Soon {
        type Protocol = Lf;
        fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.set_timer(Duration::from_secs(1));
            Action::Continue
        }
        fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            Action::Continue
        }
        fn on_timer(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.frame_max(8);
            cx.reply("8 from now on")
        }
    }
    let (mut client, server) = duplex(KIB);
    let session = serve_session(server, BatchCodec::new(KIB), Soon, Watch::never());
    let ended = tokio::spawn(session);
    client.write_all(b"123456789").await.unwrap();
    let replies = "8 from now on\nERR line too long\n";
    expect_end(client, ended, replies, CloseReason::LineTooLong).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lowers_its_limit_lowers_that_of_sessions_and_never_raises_it() {
    let limits = Arc::new(LineLimits::new(KIB));
    let (mut client, ended) = served_by(BatchCodec::<Lf>::shared(limits.clone()), 16, Overlap::OFF);
    client.write_all(b"1234567890123456\n").await.unwrap();
    expect(&mut client, "16\n").await;
    limits.set_bytes(4 * KIB);
    limits.set_bytes(8);
    client.write_all(b"12345678\n123456789\n").await.unwrap();
    expect_end(client, ended, "8\nERR line too long\n", CloseReason::LineTooLong).await;

    limits.set_bytes(KIB);
    let (mut client, ended) = served_by(BatchCodec::<Lf>::shared(limits.clone()), 16, Overlap::OFF);
    client.write_all(b"MAX 17\n").await.unwrap();
    expect(&mut client, "OK\n").await;
    limits.set_bytes(4 * KIB);
    client.write_all(b"12345678901234567\n123456789012345678\n").await.unwrap();
    expect_end(client, ended, "17\nERR line too long\n", CloseReason::LineTooLong).await;
}

#[tokio::test(start_paused = true)]
async fn a_guard_and_a_handler_of_a_router_set_it_too() {
    let routes = Router::<Lf, bool>::new()
        .command("LOGIN", |known: &mut bool, _: Args<'_>, cx: &mut Cx<'_, Lf>| {
            *known = true;
            cx.frame_max(usize::MAX);
            "OK"
        })
        .before(|known: &mut bool, _: Args<'_>, cx: &mut Cx<'_, Lf>| {
            if *known {
                return Ok(());
            }
            cx.frame_max(16);
            Err(ReplyError::new("log in first"))
        })
        .command("PUT", |_: &mut bool, args: Args<'_>| args.rest().len() as u64)
        .build()
        .unwrap();
    let (mut client, server) = duplex(KIB);
    let session =
        serve_session(server, BatchCodec::new(KIB), routes.session(false), Watch::never());
    let ended = tokio::spawn(session);
    let value = "x".repeat(100);
    client.write_all(format!("PUT a\nLOGIN\nPUT {value}\n").as_bytes()).await.unwrap();
    expect(&mut client, "ERR log in first\nOK\n100\n").await;
    drop(client);
    assert_eq!(ended.await.unwrap().unwrap(), CloseReason::PeerEof);

    let (mut client, server) = duplex(KIB);
    let session =
        serve_session(server, BatchCodec::new(KIB), routes.session(false), Watch::never());
    let ended = tokio::spawn(session);
    client.write_all(format!("PUT a\nPUT {value}\n").as_bytes()).await.unwrap();
    let replies = "ERR log in first\nERR line too long\n";
    expect_end(client, ended, replies, CloseReason::LineTooLong).await;
}

/// What a session must say to `lines`, and whether it must end for one of them.
fn model<P: Replies>(lines: &[String], mut bytes: usize) -> (String, bool) {
    let mut out = bytes::BytesMut::new();
    for line in lines {
        if line.len() > bytes {
            P::notice(&Notice::TooLong { limit_bytes: bytes }, &mut out);
            return (String::from_utf8(out.to_vec()).unwrap(), true);
        }
        match line.split_once(' ') {
            Some((command, max)) => {
                if command != "WAIT" {
                    bytes = max.trim_end_matches('.').parse().unwrap();
                }
                P::text(b"OK", &mut out);
            }
            None => P::integer(line.len() as i128, &mut out),
        }
    }
    (String::from_utf8(out.to_vec()).unwrap(), false)
}

fn line(waits: &'static str) -> impl Strategy<Value = String> {
    prop_oneof![
        (1_usize..40).prop_map(|len| "x".repeat(len)),
        (10_usize..40, any::<bool>(), 0_usize..30).prop_map(move |(max, now, dots)| {
            format!("{} {max}{}", if now { "MAX" } else { waits }, ".".repeat(dots))
        }),
    ]
}

/// The same lines, cut in one way into reads and in another.
fn says<P>(lines: &[String], cuts: &[usize], overlap: Overlap)
where
    P: Replies + for<'a> Protocol<Frame<'a> = &'a [u8]>,
{
    const FIRST: usize = 24;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut input = String::new();
        for line in lines {
            write!(input, "{line}\r\n").unwrap();
        }
        let codec = BatchCodec::<P>::new(64 * KIB);
        let (mut client, ended) = served_by(codec, FIRST, overlap);
        let mut at = 0;
        for cut in cuts {
            let end = (at + cut).min(input.len());
            client.write_all(&input.as_bytes()[at..end]).await.unwrap();
            sleep(Duration::from_micros(1)).await;
            at = end;
        }
        let _ = client.write_all(&input.as_bytes()[at..]).await;
        client.shutdown().await.unwrap();
        let mut said = String::new();
        client.read_to_string(&mut said).await.unwrap();
        drop(client);
        let (expected, too_long) = model::<P>(lines, FIRST);
        let reason = if too_long { CloseReason::LineTooLong } else { CloseReason::PeerEof };
        assert_eq!((said, ended.await.unwrap().unwrap()), (expected, reason));
    });
}

proptest! {
    #[test]
    fn a_limit_holds_from_the_next_frame_on_however_the_bytes_are_cut(
        lines in vec(line("SOON"), 0..12),
        cuts in vec(1_usize..60, 0..8),
    ) {
        says::<CrLf>(&lines, &cuts, Overlap::OFF);
        says::<AnyEol>(&lines, &cuts, Overlap::OFF);
    }

    #[test]
    fn a_limit_holds_for_frames_beside_deferred_replies_too(
        lines in vec(line("WAIT"), 0..12),
        cuts in vec(1_usize..60, 0..8),
    ) {
        says::<CrLf>(&lines, &cuts, Overlap::ordered(3));
    }
}
