//! A bounded queue between the threads that log and the thread that writes.
//!
//! docs/decisions/0030-log-sink.md says why this is not `tracing-appender`.

use std::{
    cell::RefCell,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError::Disconnected, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Most lines in the queue. Further ones are dropped and counted.
const LINES_MAX: usize = 4096;

/// Most lines that are written before each pause. A flood of log lines is then about 200 KB per second
/// for the collector and its disk, however many lines clients cause.
const BURST: usize = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// Pauses between two reports of dropped lines while a flood lasts: one report per second.
const PAUSES_PER_REPORT: usize = 10;

/// Most time that the end of the process waits for room in the queue, and again for the queue to be
/// written.
const FLUSH_MAX: Duration = Duration::from_secs(1);
const FLUSH_STEP: Duration = Duration::from_millis(5);

/// The logging side: takes lines from any thread and never blocks it.
#[derive(Debug)]
pub(super) struct Sink {
    queue: SyncSender<Entry>,
    state: Arc<SinkState>,
}

/// What logging threads and the log thread share beside the queue.
#[derive(Debug, Default)]
struct SinkState {
    /// Lines dropped since the last report: the queue was full, or they could not be written.
    dropped: AtomicU64,
    /// Whether the process ends: the log thread makes no more pauses.
    ending: AtomicBool,
}

#[derive(Debug)]
enum Entry {
    Line(Box<[u8]>),
    /// The last entry. The log thread drops the sender once everything before it is written.
    End(SyncSender<()>),
}

thread_local! {
    /// On the log thread, collects the lines of a report, which would not fit a full queue.
    static REPORT: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

impl Sink {
    /// Starts the log thread, which writes to `output`. After lines were dropped it calls `report`
    /// with their number; what `report` logs is written past the queue.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        report: fn(u64),
    ) -> io::Result<(Self, FlushGuard)> {
        let (queue, entries) = sync_channel(LINES_MAX);
        let state = Arc::<SinkState>::default();
        let thread = LogThread { output, torn: false, entries, state: state.clone(), report };
        thread::Builder::new().name("log".into()).spawn(|| thread.run())?;
        let guard = FlushGuard { queue: queue.clone(), state: state.clone() };
        Ok((Self { queue, state }, guard))
    }
}

impl Write for &Sink {
    /// Queues `line`. The formatter passes each line whole, in one call.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let reporting = REPORT.with_borrow_mut(|report| {
            report.as_mut().map(|report| report.extend_from_slice(line)).is_some()
        });
        if !reporting && self.queue.try_send(Entry::Line(line.into())).is_err() {
            self.state.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

/// The writing side, on a thread of its own.
#[derive(Debug)]
struct LogThread<W> {
    output: W,
    /// Whether the last write ended inside a line.
    torn: bool,
    entries: Receiver<Entry>,
    state: Arc<SinkState>,
    report: fn(u64),
}

impl<W: Write> LogThread<W> {
    fn run(mut self) {
        let (mut written, mut pauses) = (0, 0);
        loop {
            let entry = self.entries.try_recv().or_else(|_empty| {
                self.report_dropped();
                (written, pauses) = (0, 0);
                self.entries.recv()
            });
            match entry {
                Ok(Entry::Line(line)) => self.write(&line, 1),
                Ok(Entry::End(_done)) => return self.report_dropped(),
                Err(_disconnected) => return,
            }
            written += 1;
            if written == BURST && !self.state.ending.load(Relaxed) {
                thread::sleep(PAUSE);
                (written, pauses) = (0, pauses + 1);
                if pauses == PAUSES_PER_REPORT {
                    self.report_dropped();
                    pauses = 0;
                }
            }
        }
    }

    fn report_dropped(&mut self) {
        let dropped = self.state.dropped.swap(0, Relaxed);
        if dropped > 0 {
            REPORT.set(Some(Vec::new()));
            (self.report)(dropped);
            let lines = REPORT.take().unwrap_or_default();
            self.write(&lines, dropped);
        }
    }

    /// Writes whole lines. If that fails, because the reader has closed its end, the disk is full or
    /// the file has reached its greatest size, counts `stands_for` dropped lines. They are reported once
    /// writing succeeds again.
    fn write(&mut self, lines: &[u8], stands_for: u64) {
        // The part of a line that was written stays alone in its line.
        if self.torn && write_up_to(&mut self.output, b"\n") == 1 {
            self.torn = false;
        }
        let written = if self.torn { 0 } else { write_up_to(&mut self.output, lines) };
        self.torn |= (1..lines.len()).contains(&written);
        if written < lines.len() {
            self.state.dropped.fetch_add(stands_for, Relaxed);
        }
    }
}

/// Writes bytes until all are written or an error. Returns how many were.
fn write_up_to(output: &mut impl Write, bytes: &[u8]) -> usize {
    let mut written = 0;
    while written < bytes.len() {
        match output.write(&bytes[written..]) {
            Ok(0) => break,
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    written
}

/// Writes what is queued when it is dropped, or at [`flush`](Self::flush).
#[derive(Debug)]
pub(crate) struct FlushGuard {
    queue: SyncSender<Entry>,
    state: Arc<SinkState>,
}

impl FlushGuard {
    /// Waits until everything logged is written, at most twice [`FLUSH_MAX`]. Returns whether it is:
    /// `false` means that the reader of the log has stopped, and that another write to standard error
    /// would block for ever.
    pub(crate) fn flush(&self) -> bool {
        self.state.ending.store(true, Relaxed);
        let (done, is_done) = sync_channel(0);
        let mut end = Entry::End(done);
        for _ in 0..FLUSH_MAX.as_millis() / FLUSH_STEP.as_millis() {
            end = match self.queue.try_send(end) {
                Ok(()) => return is_done.recv_timeout(FLUSH_MAX) == Err(Disconnected),
                // The log thread has ended: this is the second call.
                Err(TrySendError::Disconnected(_)) => return true,
                Err(TrySendError::Full(end)) => end,
            };
            thread::sleep(FLUSH_STEP);
        }
        false
    }
}

impl Drop for FlushGuard {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests;
