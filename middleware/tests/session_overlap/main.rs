//! Deferred replies of one connection that wait at the same time.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod bounds;
mod ends;
mod model;
mod tester;

use std::{sync::atomic::Ordering::SeqCst, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    task::yield_now,
    time::{Instant, sleep},
};
use towline_middleware::{
    BatchCodec,
    drain::Watch,
    protocol::Lf,
    reply::Args,
    router::Router,
    session::{ActionOf, Cx, Deferred, FrameOf, Overlap, Session, serve_session},
};

use self::tester::{KIB, SECOND, Tested};

const MILLIS: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn replies_keep_the_order_of_their_frames_and_their_work_does_not_add_up() {
    let mut tested = Tested::new(Overlap::ordered(8));
    let begun = Instant::now();
    tested.send("wait 1000 a\nwait 10 b\nsay c\nwait 500 d\nnothing\nsay e\n").await;
    tested.expect("a\nb\nc\nd\ne\n").await;
    let took = begun.elapsed();
    assert!((SECOND..SECOND + 10 * MILLIS).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn tagged_replies_are_written_when_they_are_done() {
    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("wait 1000 a\nwait 10 b\nsay c\nwait 500 d\nwait 0 e\n").await;
    tested.expect("c\ne\nb\nd\na\n").await;
}

#[tokio::test(start_paused = true)]
async fn frames_are_called_in_their_order_before_the_replies_in_front_are_done() {
    for overlap in [Overlap::ordered(8), Overlap::tagged(8)] {
        let mut tested = Tested::new(overlap);
        tested.send("say a\nwait 1000 b\nsay c\nwait 1000 d\nsay e\n").await;
        sleep(10 * MILLIS).await;
        let frames = ["say a", "wait 1000 b", "say c", "wait 1000 d", "say e"];
        assert_eq!(*tested.seen.called.lock().unwrap(), frames, "{overlap:?}");
        assert_eq!(tested.futures(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn frames_of_later_reads_are_called_as_well() {
    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("wait 1000 a\n").await;
    sleep(100 * MILLIS).await;
    tested.send("wait 100 b\nsay c\n").await;
    tested.expect("c\nb\n").await;
    tested.send("sa").await;
    sleep(100 * MILLIS).await;
    tested.send("y d\n").await;
    tested.expect("d\na\n").await;

    let mut tested = Tested::new(Overlap::ordered(8));
    let begun = Instant::now();
    tested.send("wait 1000 a\n").await;
    for _ in 0..5 {
        sleep(100 * MILLIS).await;
        tested.send("wait 1000 b\n").await;
    }
    tested.expect("a\nb\nb\nb\nb\nb\n").await;
    assert!(begun.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn no_more_wait_at_once_than_the_session_says() {
    for (overlap, futures_max) in [
        (Overlap::OFF, 1),
        (Overlap::ordered(0), 1),
        (Overlap::ordered(1), 1),
        (Overlap::tagged(1), 1),
        (Overlap::ordered(3), 3),
        (Overlap::tagged(3), 3),
    ] {
        let mut tested = Tested::new(overlap);
        let begun = Instant::now();
        tested.send(&"wait 1000 a\n".repeat(12)).await;
        sleep(10 * MILLIS).await;
        assert_eq!(tested.called(), futures_max, "{overlap:?}");
        tested.expect(&"a\n".repeat(12)).await;
        assert_eq!(tested.seen.futures_max.load(SeqCst), futures_max, "{overlap:?}");
        assert_eq!(begun.elapsed().as_secs() as usize, 12 / futures_max, "{overlap:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn values_come_back_in_the_order_of_frames_or_with_tags_when_they_are_done() {
    let frames = "then 300 a\nthen 100 b\nthen 200 c\n";
    for (overlap, order) in
        [(Overlap::ordered(8), ["a", "b", "c"]), (Overlap::tagged(8), ["b", "c", "a"])]
    {
        let mut tested = Tested::new(overlap);
        tested.send(frames).await;
        sleep(150 * MILLIS).await;
        let done = usize::from(overlap == Overlap::tagged(8));
        assert_eq!(tested.seen.back.lock().unwrap().len(), done);
        sleep(SECOND).await;
        assert_eq!(*tested.seen.back.lock().unwrap(), order);
        tested.expect(&order.map(|reply| format!("{reply}\n")).concat()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_waits_again_keeps_its_place() {
    let mut tested = Tested::new(Overlap::ordered(8));
    tested.send("again 100 100 a\nwait 10 b\nagain 10 0 c\nboth 10 d\n").await;
    tested.expect("a\nb\nc\nat once\nd\n").await;
    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("again 100 100 a\nwait 150 b\nboth 10 d\n").await;
    tested.expect("at once\nd\nb\na\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_waits_for_its_turn_and_frames_wait_for_it() {
    let mut tested = Tested::new(Overlap::ordered(8));
    tested.send("wait 1000 a\nstream b 3\nwait 10 c\n").await;
    sleep(100 * MILLIS).await;
    assert_eq!(tested.called(), 2);
    tested.expect("a\nbbb\nc\n").await;
    tested.send("wait 100 a\nthen-stream 10 b\nwait 100 c\nsay d\n").await;
    tested.expect("a\nbbb\nc\nd\n").await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_within_a_stream() {
    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("wait 15 a\nwait 35 b\nstream c 3\nsay d\n").await;
    tested.expect("ccc\na\nd\nb\n").await;
    tested.send("wait 25 a\nthen-stream 10 b\nwait 500 c\nsay d\n").await;
    tested.expect("d\nbbb\na\nc\n").await;
}

#[tokio::test(start_paused = true)]
async fn the_timer_takes_the_place_of_the_next_frame() {
    let mut tested = Tested::new(Overlap::ordered(3));
    tested.send("timer 500\nwait 1000 a\nsay b\n").await;
    sleep(600 * MILLIS).await;
    assert_eq!(tested.seen.called.lock().unwrap().last().unwrap(), "timer");
    tested.send("say c\n").await;
    tested.expect("set\na\nb\ntick\nc\n").await;

    let mut tested = Tested::new(Overlap::tagged(3));
    let begun = Instant::now();
    tested.send("timer 500\nwait 1000 a\n").await;
    tested.expect("set\ntick\n").await;
    assert!(begun.elapsed() < SECOND);
    // Nothing is called beside as many as may wait.
    tested.send("wait 2000 b\nwait 2000 c\ntimer 10\n").await;
    tested.expect("a\nset\ntick\nb\nc\n").await;
}

#[tokio::test(start_paused = true)]
async fn frames_wait_for_what_the_beginning_of_the_connection_waits_for() {
    struct Greets;
    impl Session for Greets {
        type Protocol = Lf;
        fn overlap(&self) -> Overlap {
            Overlap::tagged(8)
        }
        fn on_open(&mut self, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.reply(Deferred::<Lf, Self>::new(async {
                sleep(SECOND).await;
                "hello"
            }))
        }
        fn on_frame(&mut self, frame: FrameOf<'_, Self>, cx: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            cx.reply(frame)
        }
    }
    let (mut client, server) = duplex(KIB);
    tokio::spawn(serve_session(server, BatchCodec::new(KIB), Greets, Watch::never()));
    client.write_all(b"a\n").await.unwrap();
    let mut said = [0; 8];
    client.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"hello\na\n");
}

#[tokio::test(start_paused = true)]
async fn commands_of_a_router_overlap() {
    fn wait(_: &mut (), args: Args<'_>) -> Deferred<Lf, ()> {
        let (millis, reply): (u64, &str) = args.parse().unwrap();
        let reply = reply.to_owned();
        Deferred::new(async move {
            sleep(Duration::from_millis(millis)).await;
            reply
        })
    }
    for (tagged, said) in [
        (false, "slow\nERR unknown command 'x'\nquick\n"),
        (true, "ERR unknown command 'x'\nquick\nslow\n"),
    ] {
        let router = Router::<Lf, ()>::new().command("WAIT", wait);
        let router = if tagged { router.overlap_tagged(4) } else { router.overlap(4) };
        let session = router.build().unwrap().session(());
        let (mut client, server) = duplex(KIB);
        tokio::spawn(serve_session(server, BatchCodec::new(KIB), session, Watch::never()));
        let begun = Instant::now();
        client.write_all(b"WAIT 1000 slow\nx\nWAIT 500 quick\n").await.unwrap();
        let mut replies = vec![0; said.len()];
        client.read_exact(&mut replies).await.unwrap();
        assert_eq!(String::from_utf8(replies).unwrap(), said);
        assert!(begun.elapsed() < SECOND + 10 * MILLIS);
    }
}

/// Lets other tasks run.
async fn settle() {
    for _ in 0..10 {
        yield_now().await;
    }
}
