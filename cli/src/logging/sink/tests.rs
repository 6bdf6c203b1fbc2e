use std::sync::{Mutex, MutexGuard, PoisonError};

use super::*;

/// Keeps what is written. A write blocks while it is locked.
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
fn fault_44_at_the_end_everything_logged_is_written_in_order() {
    let reader = Reader::default();
    let (sink, guard) = Sink::start(reader.clone(), ignore).expect("a thread");
    let lines: Vec<String> = (0..LINES_MAX / 2).map(|n| format!("{n}\n")).collect();
    for line in &lines {
        (&sink).write_all(line.as_bytes()).expect("never fails");
    }
    assert!(guard.flush());
    assert_eq!(String::from_utf8_lossy(&reader.lock()), lines.concat());
}

#[test]
fn fault_44_a_stopped_reader_blocks_no_logging_thread_and_dropped_lines_are_counted() {
    const FLOOD: u64 = 100_000;
    let reader = Reader::default();
    let (sink, guard) = Sink::start(reader.clone(), ignore).expect("a thread");
    let stopped = reader.lock();
    for _ in 0..FLOOD {
        (&sink).write_all(b"error\n").expect("never fails");
    }
    let dropped = sink.state.dropped.load(Relaxed);
    // All but those in the queue and the one that is being written.
    assert!((FLOOD - LINES_MAX as u64 - 1..FLOOD).contains(&dropped), "{dropped}");
    assert!(!guard.flush(), "the end does not wait for a reader that has stopped");
    drop(stopped);
}

#[test]
fn fault_44_the_number_of_dropped_lines_is_reported_past_a_full_queue() {
    let (queue, entries) = sync_channel(0);
    let state = Arc::<SinkState>::default();
    let sink: &'static Sink = Box::leak(Box::new(Sink { queue, state: state.clone() }));
    static SINK: std::sync::OnceLock<&Sink> = std::sync::OnceLock::new();
    SINK.get_or_init(|| sink);
    let report = |dropped| {
        let mut sink = *SINK.get().expect("set above");
        writeln!(sink, "{dropped} dropped").expect("never fails");
    };
    let reader = Reader::default();
    let mut thread = LogThread { output: reader.clone(), torn: false, entries, state, report };
    for _ in 0..7 {
        { sink }.write_all(b"lost\n").expect("never fails");
    }
    thread.report_dropped();
    thread.report_dropped();
    assert_eq!(&reader.lock()[..], b"7 dropped\n");
}

/// Takes as many bytes as it has room for.
#[derive(Debug)]
struct SmallDisk {
    reader: Reader,
    room: Arc<AtomicU64>,
}

impl Write for SmallDisk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.room.load(Relaxed) as usize);
        self.room.fetch_sub(taken as u64, Relaxed);
        if taken == 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            self.reader.write(&bytes[..taken])
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A line that could not be written was lost without being counted, and the next one that could be
/// written continued the part of it that had been.
#[test]
fn fault_44_lines_that_cannot_be_written_are_counted_and_spoil_no_other() {
    let (reader, room) = (Reader::default(), Arc::new(AtomicU64::new(11)));
    let output = SmallDisk { reader: reader.clone(), room: room.clone() };
    let (_queue, entries) = sync_channel(0);
    let state = Arc::<SinkState>::default();
    let mut thread = LogThread { output, torn: false, entries, state, report: ignore };
    for line in [&b"first\n"[..], b"second\n", b"third\n"] {
        thread.write(line, 1);
    }
    room.store(1000, Relaxed);
    thread.write(b"fourth\n", 1);
    assert_eq!(String::from_utf8_lossy(&reader.lock()), "first\nsecon\nfourth\n");
    assert_eq!(thread.state.dropped.load(Relaxed), 2);
}
