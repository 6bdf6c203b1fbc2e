//! How connections end: what the client still gets, and how the close is counted.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{io::ErrorKind, sync::Arc};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::Instant,
};
use tokio_test::{assert_pending, task};
use tower::{ServiceBuilder, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, Echo, ErrorReplyLayer, FramedTransport, FramingLayer, Lines, LinesBatchCodec,
    MeterLayer, ObserveLayer, drain,
    serve::{LINGER, LINGER_BYTES, Serve, WritePolicy},
    serve_connection,
    stats::{CloseReason, LineResult, Stats},
};
use towline_test_support::{End, FaultyIo, Step, assert_closed_once, block_on, every, serve};

const LINE_BYTES_MAX: usize = 64 * 1024;

/// Serves one connection to its end: its counts, and why it ended.
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
            .layer(FramingLayer::new(LinesBatchCodec::new, LINE_BYTES_MAX))
            .service(Serve::new(lines).stats(stats.clone()).write_policy(policy));
        let ended = connection.call(io).await;
        (stats, ended.unwrap_or(CloseReason::ServiceError))
    };
    block_on(end)
}

#[test]
fn earlier_replies_survive_a_fatal_line() {
    for policy in [WritePolicy::Auto, every(1), every(100)] {
        let io = FaultyIo::new("one\ntwo\ntoo long\nfour\n");
        let record = io.record();
        let (reason, output) = serve(io, LinesBatchCodec::new(5), Echo, policy);
        assert_eq!(reason, CloseReason::LineTooLong);
        assert_eq!(output, b"one\ntwo\nERR line too long\n", "{policy:?}");
        assert_eq!(
            record.get().consumed,
            22,
            "the rest is read, because the kernel would reset the connection and discard the replies"
        );
    }
}

#[test]
fn the_shutdown_comes_after_all_replies_are_written() {
    let io = FaultyIo::new("one\ntoo long\n").writes([
        Step::Pending,
        Step::Take(1),
        Step::Pending,
        Step::Pending,
        Step::Take(3),
    ]);
    let record = io.record();
    let (reason, output) = serve(io, LinesBatchCodec::new(5), Echo, WritePolicy::Auto);
    assert_eq!((reason, &output[..]), (CloseReason::LineTooLong, &b"one\nERR line too long\n"[..]));
    assert_eq!(record.get().shut_down_after, Some(output.len()));
}

/// The connection of a client whose line was too long was read for two seconds, as fast as it could send.
#[tokio::test(start_paused = true)]
async fn fault_03_a_limited_number_of_bytes_is_read_after_the_server_has_closed() {
    let (mut client, server) = duplex(LINE_BYTES_MAX);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(5));
    let connection = tokio::spawn(Serve::new(Echo).call(transport));
    let (start, mut sent) = (Instant::now(), 0);
    while client.write_all(&[b'x'; 4096]).await.is_ok() {
        sent += 4096;
    }
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::LineTooLong);
    assert!(
        (LINGER_BYTES..LINGER_BYTES + 2 * LINE_BYTES_MAX).contains(&sent),
        "{sent} bytes were taken"
    );
    assert!(start.elapsed() < LINGER);
}

/// The client disconnects after each byte of its input.
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
            assert_closed_once(&stats, expected);
            assert_eq!(stats.read_bytes.get(), at as u64);
            assert_eq!(stats.lines_received.get(), whole);
            assert_eq!(stats.lines_processed[LineResult::Ok as usize].get(), whole);
            let cut = end == End::Eof && !matches!(sent.last(), None | Some(b'\n'));
            assert_eq!(stats.unterminated_lines.get(), u64::from(cut), "after {at} bytes");
        }
    }
}

/// The client disconnects after each byte of the reply.
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
                assert_closed_once(&stats, CloseReason::PeerReset);
                let written = record.output();
                assert_eq!(written, b"abc\nde\n"[..written.len()]);
                assert_eq!(stats.written_bytes.get(), written.len() as u64);
                assert_eq!(stats.lines_received.get(), 2);
            }
        }
    }
}

/// A client whose cable was pulled was counted as `io_error`, which makes an operator search for a fault
/// of this host. The kernel reports such a client as "timed out".
#[test]
fn fault_09_a_client_that_the_kernel_gave_up_counts_as_a_reset_by_the_peer() {
    for kind in [ErrorKind::TimedOut, ErrorKind::HostUnreachable, ErrorKind::NetworkUnreachable] {
        let io = || FaultyIo::new("abc\n");
        let (stats, _) = ended(io().end(End::Fail(kind)), WritePolicy::Auto, Echo);
        assert_closed_once(&stats, CloseReason::PeerReset);
        let (stats, _) = ended(io().writes([Step::Fail(kind)]), WritePolicy::Auto, Echo);
        assert_closed_once(&stats, CloseReason::PeerReset);
    }
    let broken = End::Fail(ErrorKind::OutOfMemory);
    let (stats, _) = ended(FaultyIo::new("abc\n").end(broken), WritePolicy::Auto, Echo);
    assert_closed_once(&stats, CloseReason::IoError);
}

#[test]
fn an_error_without_a_reply_ends_the_connection_after_earlier_replies() {
    let picky = service_fn(|lines: Lines| async move {
        if lines.as_bytes() == b"bad\n" { Err(BoxError::from("no")) } else { Ok(lines) }
    });
    let io = FaultyIo::new("good\nbad\nlate\n").reads([Step::Take(5), Step::Take(4)]);
    let record = io.record();
    let (stats, reason) = ended(io, WritePolicy::Auto, picky);
    assert_eq!(reason, CloseReason::ServiceError);
    assert_closed_once(&stats, CloseReason::ServiceError);
    assert_eq!(record.output(), b"good\n");
    assert_eq!(stats.lines_processed[LineResult::Error as usize].get(), 1);
}

/// The error was dropped where the service returned it: neither the caller of `serve_connection` nor a log
/// could tell why the connection ended.
#[tokio::test(start_paused = true)]
async fn the_error_of_a_service_is_returned_after_the_replies_before_it_were_written() {
    let picky = service_fn(|lines: Lines| async move {
        if lines.as_bytes() == b"bad\n" { Err("no such line") } else { Ok(lines) }
    });
    let input = || FaultyIo::new("good\nbad\nlate\n").reads([Step::Take(5), Step::Take(4)]);
    let io = input();
    let record = io.record();
    let codec = LinesBatchCodec::new(LINE_BYTES_MAX);
    let ended = serve_connection(io, codec, picky, drain::Watch::never()).await;
    assert_eq!(ended.unwrap_err().to_string(), "no such line");
    assert_eq!(record.output(), b"good\n");
    assert_eq!(record.get().shut_down_after, Some(5));

    // A caller that takes it gets it before the close, and the reason at the end.
    let io = input();
    let record = io.record();
    let transport = FramedTransport::new(io, LinesBatchCodec::new(LINE_BYTES_MAX));
    let mut connection = task::spawn(Serve::new(picky).call(transport));
    let error = loop {
        assert_pending!(connection.poll());
        if let Some(error) = connection.enter(|_, connection| connection.take_service_error()) {
            break error;
        }
    };
    assert_eq!(error.to_string(), "no such line");
    assert_eq!(record.get().shut_down_after, None, "the peer is still connected");
    assert_eq!(connection.await.unwrap(), CloseReason::ServiceError);
    assert_eq!(record.output(), b"good\n");
}

#[tokio::test(start_paused = true)]
async fn fault_24_a_panic_in_the_service_ends_only_its_own_connection() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let fragile = service_fn(|lines: Lines| async move {
        assert!(lines.as_bytes() != b"panic\n", "the service was asked to panic");
        Ok::<_, BoxError>(lines)
    });
    let mut serve = Serve::new(fragile).stats(stats.clone());
    let mut serve = |io| {
        tokio::spawn(serve.call(FramedTransport::new(io, LinesBatchCodec::new(LINE_BYTES_MAX))))
    };
    let (mut good, server) = duplex(LINE_BYTES_MAX);
    let other = serve(server);
    let (mut bad, server) = duplex(LINE_BYTES_MAX);
    let broken = serve(server);

    bad.write_all(b"panic\n").await.unwrap();
    assert!(broken.await.unwrap_err().is_panic());
    assert_eq!(bad.read(&mut [0; 9]).await.unwrap(), 0, "the stream is closed");
    good.write_all(b"fine\n").await.unwrap();
    good.read_exact(&mut [0; 5]).await.unwrap();
    let closed = stats.states.snapshot().closed;
    assert_eq!(closed[CloseReason::ServicePanic as usize], 1);

    // Dropping a connection cuts it.
    other.abort();
    assert!(other.await.unwrap_err().is_cancelled());
    let read = stats.states.snapshot();
    assert_eq!((read.closed[CloseReason::Shutdown as usize], read.open()), (1, 0));
}
