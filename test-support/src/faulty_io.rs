use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a stream does at one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Gives or takes at most this many bytes.
    Take(usize),
    /// Is not ready, and wakes at once.
    Pending,
    /// Was interrupted by a signal.
    Interrupted,
    /// Fails for good.
    Fail(io::ErrorKind),
}

/// What follows the input of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The end of the stream.
    Eof,
    /// Nothing, for ever.
    Silence,
    /// An error.
    Fail(io::ErrorKind),
}

/// What was done to a stream.
#[derive(Debug, Default)]
pub struct Record {
    /// The bytes that were written.
    pub output: Vec<u8>,
    /// The sizes of the writes.
    pub writes: Vec<usize>,
    /// How many bytes had been written at the shutdown.
    pub shut_down_after: Option<usize>,
    /// How many bytes were read.
    pub consumed: usize,
}

/// A view of the [`Record`] of a stream that a connection owns.
#[derive(Debug, Clone, Default)]
pub struct SharedRecord(Arc<Mutex<Record>>);

impl SharedRecord {
    /// The record.
    pub fn get(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap()
    }

    /// The bytes that were written.
    pub fn output(&self) -> Vec<u8> {
        self.get().output.clone()
    }
}

/// A byte stream whose input, partial reads and writes, and errors are given beforehand.
#[derive(Debug)]
pub struct FaultyIo {
    input: Bytes,
    end: End,
    reads: VecDeque<Step>,
    writes: VecDeque<Step>,
    stuck: bool,
    record: SharedRecord,
}

impl FaultyIo {
    /// Gives `input` and takes everything.
    pub fn new(input: impl Into<Bytes>) -> Self {
        Self {
            input: input.into(),
            end: End::Eof,
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            stuck: false,
            record: SharedRecord::default(),
        }
    }

    /// Sets what follows the input. Default: [`End::Eof`].
    pub fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    /// Sets what the first reads do. Default: each gives all that fits, as later ones do.
    pub fn reads(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.reads.extend(steps);
        self
    }

    /// Sets what the first writes do. Default: each takes everything, as later ones do.
    pub fn writes(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.writes.extend(steps);
        self
    }

    /// Takes nothing after the steps of [`writes`](Self::writes).
    pub fn then_stuck(mut self) -> Self {
        self.stuck = true;
        self
    }

    /// What is done to the stream, while a connection owns it.
    pub fn record(&self) -> SharedRecord {
        self.record.clone()
    }
}

impl AsyncRead for FaultyIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let bytes_max = match self.reads.pop_front() {
            Some(Step::Take(bytes)) => bytes.max(1),
            Some(step) => return fault(step, cx),
            None => usize::MAX,
        };
        if self.input.is_empty() {
            return match self.end {
                End::Eof => Poll::Ready(Ok(())),
                End::Silence => Poll::Pending,
                End::Fail(kind) => Poll::Ready(Err(kind.into())),
            };
        }
        let taken = bytes_max.min(self.input.len()).min(buf.remaining());
        buf.put_slice(&self.input[..taken]);
        self.input.advance(taken);
        self.record.get().consumed += taken;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for FaultyIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let bytes_max = match self.writes.pop_front() {
            Some(Step::Take(bytes)) => bytes,
            Some(step) => return fault(step, cx),
            None if self.stuck => return Poll::Pending,
            None => usize::MAX,
        };
        let taken = bytes_max.min(bytes.len());
        let mut record = self.record.get();
        record.output.extend_from_slice(&bytes[..taken]);
        record.writes.push(taken);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut record = self.record.get();
        record.shut_down_after = Some(record.output.len());
        Poll::Ready(Ok(()))
    }
}

fn fault<T>(step: Step, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    match step {
        Step::Interrupted => Poll::Ready(Err(io::ErrorKind::Interrupted.into())),
        Step::Fail(kind) => Poll::Ready(Err(kind.into())),
        Step::Pending | Step::Take(_) => {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }
}
