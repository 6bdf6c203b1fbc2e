//! The transport on streams with short reads and writes, interrupted calls and errors.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use futures_util::{SinkExt, Stream};
use proptest::prelude::*;
use tokio::io::{AsyncRead, ReadBuf, join, sink};
use towline_middleware::{
    Echo, FramedTransport, LineError, Lines, LinesBatchCodec, Transport, Utf8LinesCodec,
    internal::{BLOCK_BYTES, BufferedBytes},
    serve::WritePolicy,
    stats::CloseReason,
};
use towline_test_support::{End, FaultyIo, Step, block_on, every, serve};

type Framed = FramedTransport<FaultyIo, LinesBatchCodec>;

fn framed(io: FaultyIo) -> Framed {
    FramedTransport::new(io, LinesBatchCodec::new(1 << 20))
}

fn poll(transport: &mut Framed) -> Poll<Option<Result<Lines, LineError>>> {
    Pin::new(transport).poll_next(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
fn next(transport: &mut Framed) -> Vec<u8> {
    match poll(transport) {
        Poll::Ready(Some(Ok(lines))) => lines.as_bytes().to_vec(),
        other => panic!("expected a batch, got {other:?}"),
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1_usize..40).prop_map(Step::Take),
        2 => Just(Step::Take(1)),
        2 => Just(Step::Pending),
        1 => Just(Step::Interrupted),
    ]
}

fn policy() -> impl Strategy<Value = WritePolicy> {
    prop_oneof![Just(WritePolicy::Auto), (1_u32..9).prop_map(every)]
}

proptest! {
    /// Short reads, short writes, spurious wake-ups and interrupted calls in any order.
    #[test]
    fn fault_43_the_same_bytes_come_back_for_every_schedule(
        lines in prop::collection::vec("[a-zé]{0,30}", 0..40),
        reads in prop::collection::vec(step(), 0..60),
        writes in prop::collection::vec(step(), 0..60),
        policy in policy(),
    ) {
        let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
        let io = || FaultyIo::new(input.clone()).reads(reads.clone()).writes(writes.clone());
        let expected = (CloseReason::PeerEof, input.clone().into_bytes());
        prop_assert_eq!(&serve(io(), LinesBatchCodec::new(99), Echo, policy), &expected);
        prop_assert_eq!(&serve(io(), Utf8LinesCodec::new(99), Echo, policy), &expected);
    }
}

/// A signal that interrupted `recv` or `send` ended the connection as `io_error`. The call must be
/// repeated instead.
#[test]
fn fault_43_an_interrupted_call_is_repeated() {
    let io = FaultyIo::new("a\n").reads([Step::Interrupted]).writes([Step::Interrupted]);
    let (reason, output) = serve(io, LinesBatchCodec::new(9), Echo, WritePolicy::Auto);
    assert_eq!((reason, &output[..]), (CloseReason::PeerEof, &b"a\n"[..]));
}

#[test]
fn a_write_that_takes_nothing_is_a_reset() {
    let io = FaultyIo::new("a\n").writes([Step::Take(0)]);
    let (reason, output) = serve(io, LinesBatchCodec::new(9), Echo, WritePolicy::Auto);
    assert_eq!((reason, &output[..]), (CloseReason::PeerReset, &b""[..]));
}

#[test]
fn fault_05_an_unfinished_line_at_the_end_is_dropped_or_a_line_as_the_codec_says() {
    let io = || FaultyIo::new("whole\nhal").reads([Step::Take(7)]);
    let (_, output) = serve(io(), LinesBatchCodec::new(9), Echo, WritePolicy::Auto);
    assert_eq!(output, b"whole\n");
    let (_, output) = serve(io(), Utf8LinesCodec::new(9), Echo, WritePolicy::Auto);
    assert_eq!(output, b"whole\nhal\n");
}

#[test]
fn an_unfinished_line_survives_parking_at_every_byte() {
    for at in 1..6 {
        let mut transport =
            framed(FaultyIo::new("hello\nrest").reads([Step::Take(at), Step::Pending]));
        assert!(poll(&mut transport).is_pending());
        let parked = BufferedBytes { read_bytes: at.min(5), write_bytes: 0, written_bytes: 0 };
        assert_eq!(Pin::new(&mut transport).park(), parked);
        // Parked again after a spurious wake-up.
        assert_eq!(Pin::new(&mut transport).park(), parked);
        assert_eq!(next(&mut transport), b"hello\n");
    }
}

#[test]
fn a_long_unfinished_line_survives_parking_wherever_it_is_kept() {
    // Around the size from which a line stays in its block, and around that of the block.
    for size in [16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, 64 * 1024 - 1, 64 * 1024, 200_000] {
        let line = [vec![b'x'; size], b"\n".to_vec()].concat();
        let steps = (0..size.div_ceil(60_000)).flat_map(|_| [Step::Take(60_000), Step::Pending]);
        let mut transport = framed(FaultyIo::new(line.clone()).reads(steps));
        let got = loop {
            match poll(&mut transport) {
                Poll::Ready(Some(Ok(lines))) => break lines,
                Poll::Ready(other) => panic!("{other:?}"),
                Poll::Pending => {
                    Pin::new(&mut transport).park();
                }
            }
        };
        assert!(got.as_bytes() == line, "a line of {size} bytes came out changed");
    }
}

#[test]
fn an_idle_transport_holds_nothing() {
    let mut transport = framed(FaultyIo::new("a\n").end(End::Silence));
    let lines = Lines::new(next(&mut transport)).unwrap();
    block_on(transport.send(lines)).unwrap();
    assert!(poll(&mut transport).is_pending());
    let holding = Pin::new(&mut transport).park();
    assert_eq!(holding, BufferedBytes { read_bytes: 0, write_bytes: 0, written_bytes: 2 });
    assert_eq!(Pin::new(&mut transport).park().written_bytes, 0, "progress is reported once");
}

#[test]
fn unwritten_replies_survive_parking_at_every_byte() {
    let reply = b"0123456789\n";
    for at in 1..reply.len() {
        let io = FaultyIo::new("").writes([Step::Take(at), Step::Pending]);
        let record = io.record();
        let mut transport = framed(io);
        transport.start_send_unpin(Lines::new(&reply[..]).unwrap()).unwrap();
        let mut cx = Context::from_waker(Waker::noop());
        assert!(transport.poll_flush_unpin(&mut cx).is_pending());
        let write_bytes = reply.len() - at;
        let parked = BufferedBytes { read_bytes: 0, write_bytes, written_bytes: at as u16 };
        assert_eq!(Pin::new(&mut transport).park(), parked);
        assert_eq!(transport.unsent_bytes(), write_bytes);
        assert!(transport.poll_flush_unpin(&mut cx).is_ready());
        assert_eq!(record.output(), reply);
    }
}

#[test]
fn a_read_that_fills_the_block_is_reported_once() {
    let mut transport = framed(FaultyIo::new("abc\n".repeat(64 * 1024)));
    assert_eq!(next(&mut transport).len() % 4, 0);
    assert!(Pin::new(&mut transport).take_full_read());
    assert!(!Pin::new(&mut transport).take_full_read());

    let mut transport = framed(FaultyIo::new("abc\n"));
    next(&mut transport);
    assert!(!Pin::new(&mut transport).take_full_read());
}

/// The bytes that arrive between two parks, and the room that each read offered for them.
#[derive(Clone, Default)]
struct Bursts(Rc<RefCell<(Vec<u8>, Vec<usize>)>>);

impl AsyncRead for Bursts {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (arrived, room) = &mut *self.0.borrow_mut();
        if arrived.is_empty() {
            return Poll::Pending;
        }
        room.push(buf.remaining());
        let most = arrived.len().min(buf.remaining());
        buf.put_slice(&arrived.drain(..most).collect::<Vec<_>>());
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_client_that_sent_little_is_read_with_little_room_until_more_comes() {
    let io = Bursts::default();
    let mut transport = FramedTransport::new(join(io.clone(), sink()), LinesBatchCodec::new(99));
    let mut cx = Context::from_waker(Waker::noop());
    let bursts = [2, 2, 2, 1000, 1000, 2, 2].map(|bytes| "x\n".repeat(bytes / 2).into_bytes());
    let mut little = Vec::new();
    for burst in bursts {
        io.0.borrow_mut().0.extend_from_slice(&burst);
        let mut got = Vec::new();
        while let Poll::Ready(lines) = Pin::new(&mut transport).poll_next(&mut cx) {
            got.extend_from_slice(lines.unwrap().unwrap().as_bytes());
        }
        assert_eq!(got, burst);
        Pin::new(&mut transport).park();
        let room = std::mem::take(&mut io.0.borrow_mut().1);
        little.push(room.iter().map(|room| *room < 1000).collect::<Vec<_>>());
    }
    // The first read of all has no park before it.
    let expected: [&[bool]; 7] =
        [&[false], &[false], &[true], &[true, false], &[false], &[false], &[true]];
    assert_eq!(little, expected);
}

/// The memory of a long line grew ahead of it, and one read could fill all that: its bytes were a batch of
/// ten times the usual, served in one go. What a read brings must not depend on what was read before.
#[test]
fn no_read_has_room_for_more_than_a_block() {
    let io = Bursts::default();
    let mut transport =
        FramedTransport::new(join(io.clone(), sink()), LinesBatchCodec::new(1 << 30));
    let mut cx = Context::from_waker(Waker::noop());
    let input = format!("{}\n{}", "x".repeat(40 * BLOCK_BYTES), "y\n".repeat(20 * BLOCK_BYTES));
    io.0.borrow_mut().0 = input.clone().into_bytes();
    let mut batches = Vec::new();
    while batches.iter().map(Vec::len).sum::<usize>() < input.len() {
        if let Poll::Ready(lines) = Pin::new(&mut transport).poll_next(&mut cx) {
            batches.push(lines.unwrap().unwrap().as_bytes().to_vec());
        }
    }
    assert!(batches.concat() == input.as_bytes());
    assert!(batches[1..].iter().all(|batch| batch.len() <= BLOCK_BYTES));
    let largest = io.0.borrow().1.iter().copied().max();
    assert_eq!(largest, Some(BLOCK_BYTES));
}

#[test]
fn an_error_of_the_stream_comes_after_the_lines_before_it() {
    let end = End::Fail(ErrorKind::ConnectionReset);
    let mut transport = framed(FaultyIo::new("a\nb").end(end));
    assert_eq!(next(&mut transport), b"a\n");
    let Poll::Ready(Some(Err(LineError::Io(error)))) = poll(&mut transport) else {
        panic!("the stream had failed");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_discard_reads_until_the_end() {
    let mut transport = framed(FaultyIo::new("x".repeat(300_000)));
    let mut cx = Context::from_waker(Waker::noop());
    let mut discarded = 0;
    loop {
        match Pin::new(&mut transport).poll_discard(&mut cx) {
            Poll::Ready(Ok(0)) => break,
            Poll::Ready(Ok(n)) => discarded += n,
            other => panic!("{other:?}"),
        }
        assert_eq!(Pin::new(&mut transport).park(), BufferedBytes::default());
    }
    assert_eq!(discarded, 300_000);
}
