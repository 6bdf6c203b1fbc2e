//! How connections end: what the peer still gets, and what is written in the books.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{io::ErrorKind, sync::Arc, time::Duration};

use support::{End, FaultyIo, Step, assert_ended_once, block_on, every, served};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use tower_test::mock;
use towline_middleware::{
    BoxError, Echo, ErrorReplyLayer, FramedTransport, FramingLayer, Lines, LinesBatchCodec,
    MeterLayer, ObserveLayer, drain,
    serve::{LINGER, LINGER_BYTES, Serve, WritePolicy},
    stats::{CloseReason, LineResult, Stats},
};

const LIMIT: usize = 64 * 1024;

/// Both stacks around `workload`, counted in fresh books.
fn ended<S>(io: FaultyIo, policy: WritePolicy, workload: S) -> (Arc<Stats>, CloseReason)
where
    S: Service<Lines, Response = Lines, Error = BoxError> + Clone,
{
    let end = async {
        let stats = Arc::new(Stats::new(Instant::now()));
        let lines = ServiceBuilder::new()
            .layer(ErrorReplyLayer::new())
            .layer(ObserveLayer::new(stats.clone()))
            .service(workload);
        let mut connection = ServiceBuilder::new()
            .layer(MeterLayer::new(stats.clone()))
            .layer(FramingLayer::new(LinesBatchCodec::new, LIMIT))
            .service(Serve::new(lines).stats(stats.clone()).write_policy(policy));
        let Ok(reason) = connection.call(io).await;
        (stats, reason)
    };
    block_on(end)
}

#[test]
fn earlier_replies_survive_a_fatal_line() {
    for policy in [WritePolicy::Auto, every(1), every(100)] {
        let io = FaultyIo::new("one\ntwo\ntoo long\nfour\n");
        let record = io.record();
        let (reason, output) = served(io, LinesBatchCodec::new(5), Echo, policy);
        assert_eq!(reason, CloseReason::LineTooLong);
        assert_eq!(output, b"one\ntwo\nERR line too long\n", "{policy:?}");
        assert_eq!(record.get().consumed, 22, "the rest is read, or a reset overtakes the replies");
    }
}

#[test]
fn shutdown_waits_for_the_buffer() {
    let io = FaultyIo::new("one\ntoo long\n").writes([
        Step::Pending,
        Step::Take(1),
        Step::Pending,
        Step::Pending,
        Step::Take(3),
    ]);
    let record = io.record();
    let (reason, output) = served(io, LinesBatchCodec::new(5), Echo, WritePolicy::Auto);
    assert_eq!((reason, &output[..]), (CloseReason::LineTooLong, &b"one\nERR line too long\n"[..]));
    assert_eq!(record.get().shut_down_after, Some(output.len()));
}

#[tokio::test(start_paused = true)]
async fn drain_answers_the_line_in_hand_then_half_closes_then_lingers() {
    let (service, mut handle) = mock::pair::<Lines, Lines>();
    let (signal, watch) = drain::channel();
    let (mut client, server) = duplex(LIMIT);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(LIMIT));
    let connection = tokio::spawn(Serve::new(service).drain(watch).call(transport));

    client.write_all(b"in hand\nnot a li").await.unwrap();
    handle.allow(1);
    let (_, reply) = handle.next_request().await.unwrap();
    signal.drain();
    tokio::task::yield_now().await;
    assert!(!connection.is_finished(), "a line taken is answered");

    reply.send_response(Lines::new("IN HAND\n").unwrap());
    let mut got = Vec::new();
    client.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"IN HAND\n", "then our side is closed");
    let half_closed = Instant::now();
    client.write_all(b"ne\nignored\n").await.unwrap();
    tokio::task::yield_now().await;
    assert!(!connection.is_finished(), "the peer's side is still open");

    assert_eq!(connection.await.unwrap(), Ok(CloseReason::Drain));
    let lingered = half_closed.elapsed();
    assert!((LINGER..LINGER + Duration::from_millis(2)).contains(&lingered), "{lingered:?}");
}

/// A peer whose line was too long used to be read from for two seconds, as fast as it could send.
#[tokio::test(start_paused = true)]
async fn fault_03_a_peer_that_sends_on_after_our_close_is_read_from_only_so_far() {
    let (mut client, server) = duplex(LIMIT);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(5));
    let connection = tokio::spawn(Serve::new(Echo).call(transport));
    let (begun, mut sent) = (Instant::now(), 0);
    while client.write_all(&[b'x'; 4096]).await.is_ok() {
        sent += 4096;
    }
    assert_eq!(connection.await.unwrap(), Ok(CloseReason::LineTooLong));
    assert!((LINGER_BYTES..LINGER_BYTES + 2 * LIMIT).contains(&sent), "{sent} bytes were taken");
    assert!(begun.elapsed() < LINGER);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_drains_at_once_when_the_peer_closes_too() {
    let (signal, watch) = drain::channel();
    let (mut client, server) = duplex(LIMIT);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(LIMIT));
    let connection = tokio::spawn(Serve::new(Echo).drain(watch).call(transport));
    client.write_all(b"a\n").await.unwrap();
    client.read_exact(&mut [0; 2]).await.unwrap();

    let begun = Instant::now();
    signal.drain();
    assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    drop(client);
    assert_eq!(connection.await.unwrap(), Ok(CloseReason::Drain));
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_while_draining_ends_without_taking_a_line() {
    let (signal, watch) = drain::channel();
    signal.drain();
    let io = FaultyIo::new("late\n");
    let record = io.record();
    let transport = FramedTransport::new(io, LinesBatchCodec::new(LIMIT));
    let reason = Serve::new(Echo).drain(watch).call(transport).await;
    assert_eq!(reason, Ok(CloseReason::Drain));
    assert_eq!(record.output(), b"");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_pauses_still_drains() {
    let (signal, watch) = drain::channel();
    let (client, server) = duplex(LIMIT);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(LIMIT));
    let connection = tokio::spawn(Serve::new(Echo).drain(watch).call(transport));
    let (mut from, mut to) = tokio::io::split(client);
    let flood = tokio::spawn(async move {
        let block = "abc\n".repeat(8 * 1024);
        while to.write_all(block.as_bytes()).await.is_ok() {}
    });

    let mut got = vec![0; 1 << 20];
    from.read_exact(&mut got).await.unwrap();
    signal.drain();
    from.read_to_end(&mut got).await.unwrap();
    assert!(got.chunks(4).all(|line| line == b"abc\n"), "no line is cut");
    flood.abort();
    let _cancelled = flood.await;
    drop(from);
    assert_eq!(connection.await.unwrap(), Ok(CloseReason::Drain));
}

/// Reading: the peer goes away after every byte.
#[test]
fn fault_35_a_disconnect_at_every_byte_of_a_line_is_counted_exactly() {
    let input = b"abc\nde\n";
    let reset = End::Fail(ErrorKind::ConnectionReset);
    for at in 0..=input.len() {
        for (end, expected) in [(End::Eof, CloseReason::PeerEof), (reset, CloseReason::PeerReset)] {
            let sent = &input[..at];
            let whole = sent.iter().filter(|&&byte| byte == b'\n').count() as u64;
            let (stats, reason) = ended(FaultyIo::new(sent).end(end), WritePolicy::Auto, Echo);
            assert_eq!(reason, expected, "after {at} bytes");
            assert_ended_once(&stats, expected);
            assert_eq!(stats.read_bytes.get(), at as u64);
            assert_eq!(stats.lines_received.get(), whole);
            assert_eq!(stats.lines_processed[LineResult::Ok as usize].get(), whole);
            let cut = end == End::Eof && !matches!(sent.last(), None | Some(b'\n'));
            assert_eq!(stats.unterminated_lines.get(), u64::from(cut), "after {at} bytes");
        }
    }
}

/// Writing: the peer goes away after every byte of the reply.
#[test]
fn fault_35_a_disconnect_at_every_byte_of_a_reply_is_counted_exactly() {
    for at in 0..7 {
        for policy in [WritePolicy::Auto, every(1)] {
            let taken = (at > 0).then_some(Step::Take(at));
            let broken = std::iter::repeat_n(Step::Fail(ErrorKind::BrokenPipe), 9);
            let single = std::iter::repeat_n(Step::Take(1), at).chain(broken.clone());
            for steps in [taken.into_iter().chain(broken).collect::<Vec<_>>(), single.collect()] {
                let io = FaultyIo::new("abc\nde\n").end(End::Silence).writes(steps);
                let record = io.record();
                let (stats, reason) = ended(io, policy, Echo);
                assert_eq!(reason, CloseReason::PeerReset, "after {at} bytes");
                assert_ended_once(&stats, CloseReason::PeerReset);
                let written = record.output();
                assert_eq!(written, b"abc\nde\n"[..written.len()]);
                assert_eq!(stats.written_bytes.get(), written.len() as u64);
                assert_eq!(stats.lines_received.get(), 2);
            }
        }
    }
}

/// A peer whose cable was pulled was booked as `io_error`, which sends an operator to look for a
/// fault of this host: the kernel's word for giving a peer up is "timed out".
#[test]
fn fault_09_a_peer_that_the_kernel_gave_up_went_away_and_is_no_error_of_ours() {
    for kind in [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable] {
        let io = || FaultyIo::new("abc\n");
        let (stats, _) = ended(io().end(End::Fail(kind)), WritePolicy::Auto, Echo);
        assert_ended_once(&stats, CloseReason::PeerReset);
        let (stats, _) = ended(io().writes([Step::Fail(kind)]), WritePolicy::Auto, Echo);
        assert_ended_once(&stats, CloseReason::PeerReset);
    }
    let broken = End::Fail(ErrorKind::OutOfMemory);
    let (stats, _) = ended(FaultyIo::new("abc\n").end(broken), WritePolicy::Auto, Echo);
    assert_ended_once(&stats, CloseReason::IoError);
}

#[test]
fn an_error_that_is_no_reply_ends_the_connection_after_earlier_replies() {
    let picky = service_fn(|lines: Lines| async move {
        if lines.as_bytes() == b"bad\n" { Err(BoxError::from("no")) } else { Ok(lines) }
    });
    let io = FaultyIo::new("good\nbad\nlate\n").reads([Step::Take(5), Step::Take(4)]);
    let record = io.record();
    let (stats, reason) = ended(io, WritePolicy::Auto, picky);
    assert_eq!(reason, CloseReason::ServiceError);
    assert_ended_once(&stats, CloseReason::ServiceError);
    assert_eq!(record.output(), b"good\n");
    assert_eq!(stats.lines_processed[LineResult::Error as usize].get(), 1);
}

#[tokio::test(start_paused = true)]
async fn fault_24_a_panic_in_the_service_ends_only_its_own_connection() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let fragile = service_fn(|lines: Lines| async move {
        assert!(lines.as_bytes() != b"panic\n", "the service was asked to panic");
        Ok::<_, BoxError>(lines)
    });
    let mut serve = Serve::new(fragile).stats(stats.clone());
    let mut serve =
        |io| tokio::spawn(serve.call(FramedTransport::new(io, LinesBatchCodec::new(LIMIT))));
    let (mut good, server) = duplex(LIMIT);
    let other = serve(server);
    let (mut bad, server) = duplex(LIMIT);
    let broken = serve(server);

    bad.write_all(b"panic\n").await.unwrap();
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(bad.read(&mut [0; 9]).await.unwrap(), 0, "and its stream with it");
    good.write_all(b"fine\n").await.unwrap();
    good.read_exact(&mut [0; 5]).await.unwrap();
    let closed = stats.states.snapshot().closed;
    assert_eq!(closed[CloseReason::ServicePanic as usize], 1);

    // Dropping the connection's future cuts it.
    other.abort();
    assert!(other.await.unwrap_err().is_cancelled());
    let read = stats.states.snapshot();
    assert_eq!((read.closed[CloseReason::Shutdown as usize], read.open()), (1, 0));
}
