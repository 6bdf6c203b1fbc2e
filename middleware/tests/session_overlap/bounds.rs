//! What a peer can make the server hold or do by replies that wait together.

use std::{
    future::pending,
    sync::{Arc, atomic::Ordering::SeqCst},
};

use allocation_counter::measure;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex, split},
    time::{Instant, sleep},
};
use towline_middleware::{
    BatchCodec,
    drain::Watch,
    protocol::Lf,
    session::{
        Action, ActionOf, Cx, Deferred, FrameOf, Overlap, Session, SessionStack, serve_session,
    },
    stats::Stats,
};

use super::{
    MILLIS, settle,
    tester::{KIB, SECOND, Tested},
};

/// Replies to 64 KiB of commands would be 640 MiB, all held behind one that waits.
#[tokio::test(start_paused = true)]
async fn long_replies_behind_one_that_waits_stop_the_calls() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let overlap = Overlap::ordered(8);
    let mut tested = Tested::with(overlap, Watch::never(), SessionStack::unlimited(), &stats);
    tested.send("test a\n").await;
    let frames = 64 * KIB / "long 61440\n".len();
    let (mut reader, mut writer) = split(tested.client);
    let sent = tokio::spawn(async move {
        let text = "long 61440\n".repeat(frames);
        writer.write_all(text.as_bytes()).await.unwrap();
        writer
    });
    sleep(SECOND).await;
    // A part of 64 KiB, and one reply more.
    assert_eq!(tested.seen.called.lock().unwrap().len(), 1 + 2);
    let held = stats.buffered_bytes();
    assert!((120 * KIB..200 * KIB).contains(&held), "{held} bytes held");

    tested.seen.senders.lock().unwrap().pop_front().unwrap().send(()).unwrap();
    let mut said = vec![0; "a\n".len() + frames * (60 * KIB + 1)];
    reader.read_exact(&mut said).await.unwrap();
    assert!(said.starts_with(b"a\nxxx"));
    sent.await.unwrap();
    assert_eq!(tested.seen.called.lock().unwrap().len(), 1 + frames);
}

#[tokio::test(start_paused = true)]
async fn replies_that_the_peer_does_not_take_stop_the_calls() {
    for overlap in [Overlap::ordered(4), Overlap::tagged(4)] {
        let mut tested = Tested::new(overlap);
        let line = "x".repeat(1000);
        tested.send(&format!("wait 1 {line}\n").repeat(60)).await;
        let (mut reader, mut writer) = split(tested.client);
        let sent = tokio::spawn(async move {
            let text = format!("wait 1 {line}\n").repeat(10_000);
            writer.write_all(text.as_bytes()).await.unwrap();
            writer
        });
        sleep(100 * SECOND).await;
        let called = tested.seen.called.lock().unwrap().len();
        // 256 KiB of output, 64 KiB in the pipe, a part, and those that wait.
        assert!((320..400).contains(&called), "{called} called: {overlap:?}");
        assert!(tested.seen.futures_max.load(SeqCst) <= 4);
        let mut said = vec![0; 10_060 * 1001];
        reader.read_exact(&mut said).await.unwrap();
        sent.await.unwrap();
    }
}

/// Each wake polled every call that waited: 240 µs a line for 16,384 of them.
#[tokio::test]
async fn a_wake_polls_the_future_that_was_woken_and_no_other() {
    const ROUNDS: usize = 10;
    let max = Overlap::MAX as usize;
    for overlap in [Overlap::ordered(u32::MAX), Overlap::tagged(u32::MAX)] {
        let mut tested = Tested::new(overlap);
        for _ in 0..ROUNDS {
            tested.send(&"test a\n".repeat(max)).await;
            while tested.seen.senders.lock().unwrap().len() < max {
                settle().await;
            }
            let senders = std::mem::take(&mut *tested.seen.senders.lock().unwrap());
            // The first one last: in order, all wait for it.
            for sender in senders.into_iter().rev() {
                let done = tested.futures() - 1;
                sender.send(()).unwrap();
                while tested.futures() > done {
                    settle().await;
                }
            }
            tested.expect(&"a\n".repeat(max)).await;
        }
        let polls = tested.seen.polls.load(SeqCst);
        // When it is called, when it has a permit, and when it is woken.
        let replies = ROUNDS * max;
        assert!((2 * replies..=3 * replies).contains(&polls), "{polls} polls of {replies}");
    }
}

#[tokio::test(start_paused = true)]
async fn more_than_the_maximum_wait_at_no_time() {
    let mut tested = Tested::new(Overlap::tagged(u32::MAX));
    tested.send(&"wait 1000 a\n".repeat(2 * Overlap::MAX as usize)).await;
    sleep(500 * MILLIS).await;
    assert_eq!(tested.futures(), Overlap::MAX as usize);
}

/// A peer that sends without end, beside a reply that waits, would have the thread for itself.
#[tokio::test]
async fn frames_beside_a_reply_that_waits_let_other_tasks_run() {
    let mut tested = Tested::new(Overlap::tagged(2));
    tested.send("test a\n").await;
    let (_reader, mut writer) = split(tested.client);
    let flood = tokio::spawn(async move {
        let text = "nothing\n".repeat(1000);
        loop {
            if writer.write_all(text.as_bytes()).await.is_err() {
                break;
            }
        }
    });
    while tested.seen.called.lock().unwrap().len() < 100_000 {
        settle().await;
    }
    flood.abort();
    assert!(!tested.served.is_finished());
    tested.served.abort();
}

/// [`Overlap`] says what a reply that waits costs beside its future.
#[test]
fn a_reply_that_waits_takes_less_than_half_a_kib() {
    struct Hangs(Overlap);
    impl Session for Hangs {
        type Protocol = Lf;
        fn overlap(&self) -> Overlap {
            self.0
        }
        fn on_frame(&mut self, _: FrameOf<'_, Self>, _: &mut Cx<'_, Lf>) -> ActionOf<Self> {
            Action::Deferred(Deferred::new(pending::<()>()))
        }
    }
    let bytes_max = |overlap| {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (mut client, server) = duplex(64 * KIB);
        let session = Hangs(overlap);
        let served = serve_session(server, BatchCodec::new(KIB), session, Watch::never());
        measure(|| {
            runtime.block_on(async {
                let served = tokio::spawn(served);
                client.write_all(&b"a\n".repeat(Overlap::MAX as usize)).await.unwrap();
                settle().await;
                served.abort();
            });
        })
        .bytes_max
    };
    for (one, all) in [
        (Overlap::ordered(2), Overlap::ordered(Overlap::MAX)),
        (Overlap::tagged(2), Overlap::tagged(Overlap::MAX)),
    ] {
        let each = (bytes_max(all) - bytes_max(one)) / u64::from(Overlap::MAX - 2);
        assert!((100..512).contains(&each), "{each} bytes: {all:?}");
    }
}
