use std::{
    cell::RefCell,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{
            Receiver, RecvTimeoutError::Disconnected, SyncSender, TryRecvError, TrySendError,
            sync_channel,
        },
    },
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait to be written; more are dropped.
const LINES_MAX: usize = 4096;

/// Lines written without a pause at most, and the pause. A flood is then some 200 KB a second for the
/// collector and the disk behind it, instead of as much as peers can cause.
const BURST: usize = 200;
const PAUSE: Duration = Duration::from_millis(100);

/// A flood that lasts is told of after so many pauses, so once a second.
const PAUSES_UNTOLD: usize = 10;

/// How long the end of the process waits for a reader to make room, and then to take what is left.
const FLUSH_MAX: Duration = Duration::from_secs(1);
const FLUSH_STEP: Duration = Duration::from_millis(5);

/// Takes lines from any thread without ever making it wait, and writes them on one of its own.
#[derive(Debug)]
pub(super) struct Sink {
    queue: SyncSender<Entry>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    dropped: AtomicU64,
    ending: AtomicBool,
}

#[derive(Debug)]
enum Entry {
    Line(Box<[u8]>),
    /// The last: all before it is written when this is dropped.
    End(SyncSender<()>),
}

thread_local! {
    /// Where the writer's own lines go: past the queue, which is full when it has something to say.
    static ASIDE: RefCell<Option<Vec<u8>>> = const { RefCell::new(None) };
}

impl Sink {
    /// Starts the thread that writes to `output`. It calls `tell` when lines were dropped, with how
    /// many, and writes what that logs to this sink.
    pub(super) fn start(
        output: impl Write + Send + 'static,
        tell: fn(u64),
    ) -> io::Result<(Self, Flush)> {
        let (queue, entries) = sync_channel(LINES_MAX);
        let shared = Arc::<Shared>::default();
        let writer = Writer { output, entries, shared: shared.clone(), tell };
        thread::Builder::new().name("log".into()).spawn(|| writer.run())?;
        let flush = Flush { queue: queue.clone(), shared: shared.clone() };
        Ok((Self { queue, shared }, flush))
    }
}

impl Write for &Sink {
    /// One call is one line: the formatter hands each over whole.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let aside = ASIDE.with_borrow_mut(|aside| {
            aside.as_mut().map(|aside| aside.extend_from_slice(line)).is_some()
        });
        if !aside && self.queue.try_send(Entry::Line(line.into())).is_err() {
            self.shared.dropped.fetch_add(1, Relaxed);
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

#[derive(Debug)]
struct Writer<W> {
    output: W,
    entries: Receiver<Entry>,
    shared: Arc<Shared>,
    tell: fn(u64),
}

impl<W: Write> Writer<W> {
    fn run(mut self) {
        let (mut written, mut pauses) = (0, 0);
        loop {
            let entry = match self.entries.try_recv() {
                Ok(entry) => entry,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    self.tell_of_dropped();
                    (written, pauses) = (0, 0);
                    match self.entries.recv() {
                        Ok(entry) => entry,
                        Err(_) => return,
                    }
                }
            };
            match entry {
                Entry::Line(line) => self.write(&line),
                Entry::End(_done) => return self.tell_of_dropped(),
            }
            written += 1;
            if written == BURST && !self.shared.ending.load(Relaxed) {
                thread::sleep(PAUSE);
                (written, pauses) = (0, pauses + 1);
                if pauses == PAUSES_UNTOLD {
                    self.tell_of_dropped();
                    pauses = 0;
                }
            }
        }
    }

    fn tell_of_dropped(&mut self) {
        let dropped = self.shared.dropped.swap(0, Relaxed);
        if dropped > 0 {
            ASIDE.set(Some(Vec::new()));
            (self.tell)(dropped);
            let lines = ASIDE.take().unwrap_or_default();
            self.write(&lines);
        }
    }

    fn write(&mut self, lines: &[u8]) {
        // Fails when nobody can read any more, and then there is nobody to tell.
        let _ = self.output.write_all(lines);
    }
}

/// Writes what waits, when dropped, or at [`written`](Self::written).
#[derive(Debug)]
pub(crate) struct Flush {
    queue: SyncSender<Entry>,
    shared: Arc<Shared>,
}

impl Flush {
    /// Waits until everything logged is written. Not so when the reader of the log has stopped:
    /// whatever else is written to standard error would then wait for ever.
    pub(crate) fn written(&self) -> bool {
        self.shared.ending.store(true, Relaxed);
        let (done, is_done) = sync_channel(0);
        let mut end = Entry::End(done);
        for _ in 0..FLUSH_MAX.as_millis() / FLUSH_STEP.as_millis() {
            end = match self.queue.try_send(end) {
                Ok(()) => return is_done.recv_timeout(FLUSH_MAX) == Err(Disconnected),
                // It had ended before.
                Err(TrySendError::Disconnected(_)) => return true,
                Err(TrySendError::Full(end)) => end,
            };
            thread::sleep(FLUSH_STEP);
        }
        false
    }
}

impl Drop for Flush {
    fn drop(&mut self) {
        self.written();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use super::*;

    /// Keeps what is written; takes nothing while it is locked.
    #[derive(Debug, Clone, Default)]
    struct Reader(Arc<Mutex<Vec<u8>>>);

    impl Reader {
        fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner)
        }
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn ignore(_: u64) {}

    #[test]
    fn fault_44_what_is_logged_is_written_in_order_and_all_of_it_by_the_end() {
        let reader = Reader::default();
        let (sink, flush) = Sink::start(reader.clone(), ignore).expect("a thread");
        let lines: Vec<String> = (0..LINES_MAX / 2).map(|n| format!("{n}\n")).collect();
        for line in &lines {
            (&sink).write_all(line.as_bytes()).expect("never fails");
        }
        assert!(flush.written());
        assert_eq!(String::from_utf8_lossy(&reader.lock()), lines.concat());
    }

    #[test]
    fn fault_44_a_reader_that_stopped_holds_nobody_and_what_is_dropped_is_counted() {
        const FLOOD: u64 = 100_000;
        let reader = Reader::default();
        let (sink, flush) = Sink::start(reader.clone(), ignore).expect("a thread");
        let stopped = reader.lock();
        for _ in 0..FLOOD {
            (&sink).write_all(b"error\n").expect("never fails");
        }
        let dropped = sink.shared.dropped.load(Relaxed);
        // The queue, and one that is being written.
        assert!((FLOOD - LINES_MAX as u64 - 1..FLOOD).contains(&dropped), "{dropped}");
        assert!(!flush.written(), "nobody reads, and the end does not wait for it");
        drop(stopped);
    }

    #[test]
    fn fault_44_the_writer_tells_how_many_were_dropped_past_its_full_queue() {
        let (queue, entries) = sync_channel(0);
        let shared = Arc::<Shared>::default();
        let sink: &'static Sink = Box::leak(Box::new(Sink { queue, shared: shared.clone() }));
        static SINK: std::sync::OnceLock<&Sink> = std::sync::OnceLock::new();
        SINK.get_or_init(|| sink);
        let tell = |dropped| {
            let mut sink = *SINK.get().expect("set above");
            writeln!(sink, "{dropped} dropped").expect("never fails");
        };
        let reader = Reader::default();
        let mut writer = Writer { output: reader.clone(), entries, shared, tell };
        for _ in 0..7 {
            { sink }.write_all(b"lost\n").expect("never fails");
        }
        writer.tell_of_dropped();
        writer.tell_of_dropped();
        assert_eq!(&reader.lock()[..], b"7 dropped\n");
    }
}
