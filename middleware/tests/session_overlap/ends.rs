//! How replies that wait together end: in time or not, with the connection or before it.

use std::{
    sync::{Arc, atomic::Ordering::SeqCst},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, split},
    time::{Instant, sleep, timeout},
};
use towline_middleware::{
    ConcurrencyLimitLayer, LoadShed, Semaphore, TimeoutLayer,
    drain::{self, Watch},
    session::{Overlap, SessionStack},
    stats::{CloseReason, LineResult, State, Stats},
};

use super::{
    MILLIS,
    tester::{SECOND, Tested},
};

#[tokio::test(start_paused = true)]
async fn a_timeout_answers_its_own_frame_in_its_place() {
    let mut tested = Tested::new(Overlap::ordered(8));
    let begun = Instant::now();
    tested.send("wait 3000 a\nwithin 1000\nsay b\nwithin 2000\nwait 10 c\n").await;
    tested.expect("a\nERR timeout\nb\nERR timeout\nc\n").await;
    assert!(begun.elapsed() < 4 * SECOND);
    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("wait 3000 a\nwithin 1000\nwait 2000 b\n").await;
    tested.expect("ERR timeout\nb\na\n").await;
}

#[tokio::test(start_paused = true)]
async fn each_that_waits_has_a_permit_and_is_shed_alone_and_frames_are_counted_once() {
    for (overlap, said) in [
        (Overlap::ordered(8), "a\nb\nERR timeout\nERR overloaded\nERR overloaded\nc\nd\n"),
        (Overlap::tagged(8), "ERR overloaded\nERR overloaded\nc\nd\na\nb\nERR timeout\n"),
    ] {
        let stats = Arc::new(Stats::new(Instant::now()));
        let permits = Arc::new(Semaphore::new(3));
        let limit = ConcurrencyLimitLayer::new(permits.clone()).load_shed(LoadShed::WhenFull);
        let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(2 * SECOND), &limit);
        let mut tested = Tested::with(overlap, Watch::never(), stack, &stats);
        tested.send("wait 1000 a\nwait 1000 b\nwait 5000 x\n").await;
        tested.send("wait 10 x\nwait 10 x\nsay c\nwait 0 d\n").await;
        sleep(10 * MILLIS).await;
        assert_eq!(permits.in_use(), 3);
        tested.expect(said).await;
        assert_eq!(permits.in_use(), 0);
        tested.send("quit\n").await;
        assert_eq!(tested.rest().await, ("bye\n".to_owned(), CloseReason::ServiceClose));
        let by = |result: LineResult| stats.lines_processed[result as usize].get();
        let counted = [LineResult::Ok, LineResult::Timeout, LineResult::Shed].map(by);
        assert_eq!(counted, [5, 1, 2]);
        assert_eq!(stats.lines_received.get(), 8);
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_waits_for_a_permit_is_polled_when_there_is_one() {
    let stats = Stats::unobserved();
    let permits = Arc::new(Semaphore::new(2));
    let limit = ConcurrencyLimitLayer::new(permits.clone());
    let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(None), &limit);
    let mut tested = Tested::with(Overlap::tagged(8), Watch::never(), stack, &stats);
    tested.send(&"test a\n".repeat(6)).await;
    sleep(MILLIS).await;
    assert_eq!(permits.in_use(), 2);
    let senders = std::mem::take(&mut *tested.seen.senders.lock().unwrap());
    assert_eq!(senders.len(), 6);
    // The last ones wait for a permit: their value is not taken before they have one.
    for sender in senders.into_iter().rev() {
        sender.send(()).unwrap();
        sleep(MILLIS).await;
    }
    tested.expect(&"a\n".repeat(6)).await;
    assert_eq!(permits.in_use(), 0);
}

/// What waits for a permit is not polled when its connection is, which was then shown as being served.
#[tokio::test(start_paused = true)]
async fn a_connection_of_which_one_waits_for_a_permit_is_shown_as_waiting() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let permits = Arc::new(Semaphore::new(1));
    let limit = ConcurrencyLimitLayer::new(permits.clone());
    let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(None), &limit);
    let mut tested = Tested::with(Overlap::tagged(8), Watch::never(), stack, &stats);
    let states = || {
        let connections = stats.states.snapshot().connections;
        [State::LimitWait, State::Service].map(|state| connections[state as usize])
    };
    tested.send("test a\n").await;
    sleep(MILLIS).await;
    assert_eq!(states(), [0, 1]);
    for frame in ["test b\n", "say c\n", "nothing\n"] {
        tested.send(frame).await;
        sleep(MILLIS).await;
        assert_eq!(states(), [1, 0]);
    }
    permits.set_limit(2);
    sleep(MILLIS).await;
    assert_eq!(states(), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_close_comes_behind_the_replies_in_front_of_it_and_later_frames_are_not_served() {
    let mut tested = Tested::new(Overlap::ordered(8));
    tested.send("wait 1000 a\nwait 10 b\nquit\nsay c\n").await;
    sleep(100 * MILLIS).await;
    tested.send("say d\n").await;
    assert_eq!(tested.rest().await, ("a\nb\nbye\n".to_owned(), CloseReason::ServiceClose));
    assert_eq!(tested.called(), 3);

    // With tags the last words are the last, too.
    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("wait 1000 a\nwait 10 b\nquit\nsay c\n").await;
    assert_eq!(tested.rest().await, ("b\na\nbye\n".to_owned(), CloseReason::ServiceClose));
}

#[tokio::test(start_paused = true)]
async fn a_close_that_was_waited_for_drops_what_was_begun_behind_it() {
    let mut tested = Tested::new(Overlap::ordered(8));
    tested.send("wait 1000 a\nclose 10 end\nsay b\nwait 3600000 c\n").await;
    sleep(100 * MILLIS).await;
    assert_eq!((tested.called(), tested.futures()), (4, 2));
    let begun = Instant::now();
    assert_eq!(tested.rest().await, ("a\nend\n".to_owned(), CloseReason::ServiceClose));
    assert!(begun.elapsed() < 2 * SECOND);
    assert_eq!(tested.futures(), 0);

    let mut tested = Tested::new(Overlap::tagged(8));
    tested.send("wait 1000 a\nclose 100 end\nclose 200 END\nwait 500 b\n").await;
    sleep(400 * MILLIS).await;
    tested.send("say c\n").await;
    assert_eq!(tested.rest().await, ("b\na\nend\nEND\n".to_owned(), CloseReason::ServiceClose));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_all_of_them() {
    for (overlap, said) in [
        (Overlap::ordered(8), "a\nb\nc\ngoing down\n"),
        (Overlap::tagged(8), "c\nb\na\ngoing down\n"),
    ] {
        let (signal, watch) = drain::channel();
        let mut tested = Tested::draining(overlap, watch);
        tested.send("wait 2000 a\nwait 1000 b\nsay c\n").await;
        sleep(10 * MILLIS).await;
        signal.drain();
        sleep(10 * MILLIS).await;
        // Not taken: what comes from now on is served behind the others, and is not what the drain waits for.
        assert_eq!(tested.rest().await, (said.to_owned(), CloseReason::Drain));
    }
}

/// What came while replies waited was read and had to be answered, which took time in which more came: a drain
/// did not end before its peer did.
#[tokio::test(start_paused = true)]
async fn a_drain_ends_though_frames_keep_coming() {
    for overlap in [Overlap::OFF, Overlap::ordered(8), Overlap::tagged(8)] {
        let (signal, watch) = drain::channel();
        let mut tested = Tested::draining(overlap, watch);
        tested.send("wait 1000 a\n").await;
        sleep(10 * MILLIS).await;
        signal.drain();
        let (mut reader, mut writer) = split(tested.client);
        let sends = tokio::spawn(async move {
            while writer.write_all(b"wait 500 b\n").await.is_ok() {
                sleep(100 * MILLIS).await;
            }
        });
        let mut said = String::new();
        let end = reader.read_to_string(&mut said);
        timeout(60 * SECOND, end).await.expect("the server closes").unwrap();
        assert!(said.ends_with("going down\n"), "{said}");
        assert_eq!(tested.served.await.unwrap().unwrap(), CloseReason::Drain);
        sends.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn all_of_them_end_with_their_peer() {
    for overlap in [Overlap::ordered(8), Overlap::tagged(8)] {
        let mut tested = Tested::new(overlap);
        tested.send(&"wait 3600000 a\n".repeat(5)).await;
        sleep(10 * MILLIS).await;
        assert_eq!(tested.futures(), 5);
        let begun = Instant::now();
        let Tested { client, served, seen } = tested;
        drop(client);
        assert_eq!(served.await.unwrap().unwrap(), CloseReason::PeerEof);
        assert!(begun.elapsed() < Duration::from_secs(2));
        assert_eq!(seen.futures.load(SeqCst), 0);
        assert_eq!(*seen.ends.lock().unwrap(), [CloseReason::PeerEof]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_what_comes_back_ends_the_connection_once() {
    for overlap in [Overlap::ordered(8), Overlap::tagged(8)] {
        let mut tested = Tested::new(overlap);
        tested.send("wait 5 a\npanic 10\nwait 3600000 b\n").await;
        tested.expect("a\n").await;
        let Tested { client: _client, served, seen } = tested;
        assert!(served.await.is_err_and(|error| error.is_panic()));
        assert_eq!(*seen.ends.lock().unwrap(), [CloseReason::ServicePanic]);
        assert_eq!(seen.futures.load(SeqCst), 0);
    }
}

/// The bad frame was found while replies waited, and is found again behind them.
#[tokio::test(start_paused = true)]
async fn a_bad_frame_ends_the_connection_behind_the_replies_that_wait() {
    let mut tested = Tested::new(Overlap::ordered(8));
    tested.send("wait 1000 a\nsay b\n").await;
    sleep(10 * MILLIS).await;
    tested.send(&format!("say c\n{}\n", "x".repeat(2000))).await;
    let (said, ended) = tested.rest().await;
    assert_eq!(said, "a\nb\nc\nERR line too long\n");
    assert_eq!(ended, CloseReason::LineTooLong);
}

/// A connection whose peer took no replies polled nothing but its writes, so what its commands waited for kept
/// its permit when it was done: as many such peers as there are permits stopped the commands of all others.
#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_replies_keeps_no_permit() {
    for overlap in [Overlap::OFF, Overlap::ordered(8), Overlap::tagged(8)] {
        let limit = ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(1)));
        let stats = Stats::unobserved();
        let stack = SessionStack::new(stats.clone(), &TimeoutLayer::new(None), &limit);
        let mut blocked = Tested::with(overlap, Watch::never(), stack.clone(), &stats);
        // More than the pipe and the output take, of which the last part is not full.
        let longs = [66_500, 66_500, 66_500, 66_500, 65_000];
        let frames: String = longs.iter().map(|bytes| format!("long {bytes}\n")).collect();
        blocked.send(&format!("{frames}wait 10 a\nsay b\n")).await;
        sleep(MILLIS).await;
        assert_eq!(blocked.futures(), 1, "{overlap:?}");

        let mut other = Tested::with(overlap, Watch::never(), stack, &stats);
        other.send("wait 10 c\n").await;
        other.expect("c\n").await;

        let replies: String = longs.iter().map(|&bytes| "x".repeat(bytes) + "\n").collect();
        let last = if overlap == Overlap::tagged(8) { "b\na\n" } else { "a\nb\n" };
        blocked.expect(&format!("{replies}{last}")).await;
    }
}
