//! What the tests of a connection share: a byte stream that misbehaves by script.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file takes what it needs")]

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::codec::{Decoder, Encoder};
use tower_service::Service;
use towline_middleware::{
    BoxError, FramedTransport, LineError, Lines,
    serve::{Serve, WritePolicy},
    stats::{CloseReason, Stats},
};

/// What a stream does at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Gives or takes at most so many bytes.
    Take(usize),
    /// Is not ready, and wakes at once.
    Pending,
    /// Was interrupted by a signal.
    Interrupted,
    /// Fails for good.
    Fail(io::ErrorKind),
}

/// What becomes of the input once it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Eof,
    Silence,
    Fail(io::ErrorKind),
}

/// What a stream was given, for the test to look at.
#[derive(Debug, Default)]
pub(crate) struct Record {
    pub(crate) output: Vec<u8>,
    /// Sizes of the single writes.
    pub(crate) writes: Vec<usize>,
    /// How many bytes had been written when our side was closed.
    pub(crate) shut_down_after: Option<usize>,
    /// Bytes that were read.
    pub(crate) consumed: usize,
}

/// A byte stream with its input and misfortunes written down beforehand.
#[derive(Debug)]
pub(crate) struct FaultyIo {
    input: Bytes,
    end: End,
    reads: VecDeque<Step>,
    writes: VecDeque<Step>,
    /// Whether writes take nothing once their steps are used up, instead of everything.
    stuck: bool,
    record: Arc<Mutex<Record>>,
}

impl FaultyIo {
    pub(crate) fn new(input: impl Into<Bytes>) -> Self {
        Self {
            input: input.into(),
            end: End::Eof,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            stuck: false,
            record: Arc::default(),
        }
    }

    pub(crate) fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn reads(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.reads.extend(steps);
        self
    }

    pub(crate) fn writes(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.writes.extend(steps);
        self
    }

    /// After its steps the stream takes nothing more.
    pub(crate) fn then_stuck(mut self) -> Self {
        self.stuck = true;
        self
    }

    pub(crate) fn record(&self) -> Watched {
        Watched(self.record.clone())
    }
}

/// A view of a stream's [`Record`] while somebody else owns the stream.
#[derive(Debug, Clone)]
pub(crate) struct Watched(Arc<Mutex<Record>>);

impl Watched {
    pub(crate) fn get(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap()
    }

    pub(crate) fn output(&self) -> Vec<u8> {
        self.get().output.clone()
    }
}

impl AsyncRead for FaultyIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let at_most = match self.reads.pop_front() {
            Some(Step::Take(n)) => n.max(1),
            Some(step) => return misfortune(step, cx),
            None => usize::MAX,
        };
        if self.input.is_empty() {
            return match self.end {
                End::Eof => Poll::Ready(Ok(())),
                End::Silence => Poll::Pending,
                End::Fail(kind) => Poll::Ready(Err(kind.into())),
            };
        }
        let n = at_most.min(self.input.len()).min(buf.remaining());
        buf.put_slice(&self.input[..n]);
        self.input.advance(n);
        self.record.lock().unwrap().consumed += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FaultyIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let at_most = match self.writes.pop_front() {
            Some(Step::Take(n)) => n,
            Some(step) => return misfortune(step, cx),
            None if self.stuck => return Poll::Pending,
            None => usize::MAX,
        };
        let n = at_most.min(bytes.len());
        let mut record = self.record.lock().unwrap();
        record.output.extend_from_slice(&bytes[..n]);
        record.writes.push(n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut record = self.record.lock().unwrap();
        record.shut_down_after = Some(record.output.len());
        Poll::Ready(Ok(()))
    }
}

fn misfortune<T>(step: Step, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    match step {
        Step::Interrupted => Poll::Ready(Err(io::ErrorKind::Interrupted.into())),
        Step::Fail(kind) => Poll::Ready(Err(kind.into())),
        Step::Pending | Step::Take(_) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}

/// Runs to the end on a clock that stands still while anything can run.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

/// Serves one connection to its end: why it ended, and what the peer got.
pub(crate) fn served<C, S>(
    io: FaultyIo,
    codec: C,
    service: S,
    policy: WritePolicy,
) -> (CloseReason, Vec<u8>)
where
    C: Decoder<Item = Lines, Error = LineError> + Encoder<Lines, Error = LineError> + Unpin,
    S: Service<Lines, Response = Lines> + Clone,
    S::Error: Into<BoxError>,
{
    let record = io.record();
    let mut serve = Serve::new(service).write_policy(policy);
    let Ok(reason) = block_on(async { serve.call(FramedTransport::new(io, codec)).await });
    (reason, record.output())
}

/// A write after so many lines.
pub(crate) fn every(lines: u32) -> WritePolicy {
    WritePolicy::Every(lines.try_into().unwrap())
}

/// How many connections ended for `reason`; there must be none still open, and none that ended
/// otherwise.
#[track_caller]
pub(crate) fn assert_ended_once(stats: &Stats, reason: CloseReason) {
    let read = stats.states.snapshot();
    let mut closed = [0; CloseReason::ALL.len()];
    closed[reason as usize] = 1;
    assert_eq!((read.accepted, read.closed, read.open()), (1, closed, 0), "expected {reason:?}");
    let held = (stats.read_buffer_bytes.get(), stats.write_buffer_bytes.get());
    assert_eq!(held, (0, 0), "a connection that is gone holds nothing");
}

/// Every way to send `bytes` in two pieces.
pub(crate) fn splits(bytes: &[u8]) -> impl Iterator<Item = [&[u8]; 2]> {
    (0..=bytes.len()).map(|at| [&bytes[..at], &bytes[at..]])
}
