//! The sequence word of the state cells, the permits of the concurrency limit, the drain signal, the clock of
//! deadlines and the rows of connections, in every interleaving and memory order that the language allows.
//! Empty in an ordinary run; under the model checker:
//!
//! ```text
//! RUSTFLAGS="--cfg towline_loom" \
//!     cargo test --profile fast -p towline-middleware --test loom
//! ```

#![cfg(towline_loom)]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::{Future, Ready, ready},
    task::{Context, Poll, Waker},
};

use loom::{
    future::block_on,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};
use tower_layer::Layer;
use tower_service::Service;
use towline_middleware::{
    BoxError, ConcurrencyLimit, ConcurrencyLimitLayer, Semaphore,
    connections::{ConnectionRow, PeerAddress},
    drain,
    internal::{Rows, SuspendClock, Writers},
    stats::{CloseReason, Nanos, State, StateCells, StateSnapshot},
};

/// Fails unless all numbers are of one moment, with the times that belong to the counts.
#[track_caller]
fn check(read: &StateSnapshot, entered: u64) {
    let closed: u64 = read.closed.iter().sum();
    assert_eq!(read.accepted - closed, read.open());
    // Far from the times of the changes, so that a torn pair is off by far.
    let now = 1 << 40;
    let idle = read.connections[State::Idle as usize];
    if closed == 0 {
        assert_eq!(read.nanos_in(State::Idle, Nanos(now)), u128::from(idle * (now - entered)));
    }
}

/// Reads in a separate thread: the checker does not interrupt the thread that spawns the others.
fn read_beside(cells: &Arc<StateCells>) {
    let cells = cells.clone();
    let reader = thread::spawn(move || check(&cells.snapshot(), 7));
    reader.join().unwrap();
}

fn by_any_writers(test: fn(Arc<StateCells>)) {
    for writers in [Writers::One, Writers::Many] {
        loom::model(move || test(Arc::new(StateCells::new(writers))));
    }
}

#[test]
fn a_reader_never_sees_half_a_change() {
    by_any_writers(|cells| {
        let writer = {
            let cells = cells.clone();
            thread::spawn(move || cells.open(State::Idle, Nanos(7)))
        };
        read_beside(&cells);
        writer.join().unwrap();
        let read = cells.snapshot();
        check(&read, 7);
        assert_eq!((read.accepted, read.connections[State::Idle as usize]), (1, 1));
    });
}

#[test]
fn a_reader_never_sees_half_an_end() {
    by_any_writers(|cells| {
        cells.open(State::Idle, Nanos(7));
        let writer = {
            let cells = cells.clone();
            thread::spawn(move || cells.close(State::Idle, CloseReason::Drain, Nanos(9)))
        };
        read_beside(&cells);
        writer.join().unwrap();
        let read = cells.snapshot();
        assert_eq!((read.open(), read.nanos_in(State::Idle, Nanos(1 << 40))), (0, 2));
    });
}

#[test]
fn two_writers_lose_nothing() {
    loom::model(|| {
        let cells = Arc::new(StateCells::default());
        let writers = [3, 5].map(|at| {
            let cells = cells.clone();
            thread::spawn(move || cells.open(State::Idle, Nanos(at)))
        });
        join(writers);
        let read = cells.snapshot();
        assert_eq!((read.accepted, read.open()), (2, 2));
        assert_eq!(read.nanos_in(State::Idle, Nanos(10)), 7 + 5);
    });
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// A thread that makes this many calls, one after another.
fn caller<S>(mut service: S, calls: usize) -> thread::JoinHandle<()>
where
    S: Service<(), Response = (), Error = BoxError> + 'static,
{
    thread::spawn(move || {
        for _ in 0..calls {
            block_on(service.call(())).unwrap();
        }
    })
}

/// Polls `future` once, and drops it.
fn poll_and_drop(future: impl Future) {
    let mut future = Box::pin(future);
    let _ = future.as_mut().poll(&mut Context::from_waker(Waker::noop()));
}

/// A service that yields to other threads while it has its permit.
#[derive(Clone)]
struct Yields;

impl Service<()> for Yields {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        thread::yield_now();
        ready(Ok(()))
    }
}

fn limited(permits: &std::sync::Arc<Semaphore>) -> ConcurrencyLimit<Yields> {
    ConcurrencyLimitLayer::new(permits.clone()).layer(Yields)
}

#[test]
fn a_waiting_call_gets_a_permit_that_is_released() {
    loom::model(|| {
        let permits = std::sync::Arc::new(Semaphore::new(1));
        let callers = [(); 2].map(|()| caller(limited(&permits), 1));
        join(callers);
        assert_eq!(permits.in_use(), 0);
    });
}

#[test]
fn a_permit_granted_to_a_dropped_call_is_not_lost() {
    loom::model(|| {
        let permits = std::sync::Arc::new(Semaphore::new(1));
        let done = caller(limited(&permits), 1);
        poll_and_drop(limited(&permits).call(()));
        join([done]);
        assert_eq!(permits.in_use(), 0);
    });
}

#[test]
fn a_call_that_enters_the_queue_meanwhile_sees_a_raised_limit() {
    loom::model(|| {
        let permits = std::sync::Arc::new(Semaphore::new(0));
        let raises = {
            let permits = permits.clone();
            thread::spawn(move || permits.set_limit(1))
        };
        block_on(limited(&permits).call(())).unwrap();
        raises.join().unwrap();
        assert_eq!(permits.in_use(), 0);
    });
}

/// A service that fails if it is called more often at a time than there are permits.
#[derive(Clone)]
struct Counts {
    served: Arc<AtomicUsize>,
    most: usize,
}

impl Counts {
    fn new(most: usize) -> Self {
        Self { served: Arc::new(AtomicUsize::new(0)), most }
    }

    /// The service, behind a limit of its own thread.
    fn limited(&self, permits: &std::sync::Arc<Semaphore>) -> ConcurrencyLimit<Self> {
        ConcurrencyLimitLayer::new(permits.clone()).layer(self.clone())
    }
}

impl Service<()> for Counts {
    type Response = ();
    type Error = BoxError;
    type Future = Ready<Result<(), BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        assert!(self.served.fetch_add(1, SeqCst) < self.most, "more calls than permits");
        thread::yield_now();
        self.served.fetch_sub(1, SeqCst);
        ready(Ok(()))
    }
}

/// All interleavings of three threads, or of many words, are too many: those with two preemptions.
fn model_with_two_preemptions(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// The first call of each thread makes its part of the semaphore, and the second finds its permit there.
#[test]
fn two_threads_hand_one_permit_back_and_forth() {
    model_with_two_preemptions(|| {
        let (permits, counts) = (std::sync::Arc::new(Semaphore::new(1)), Counts::new(1));
        let callers = [(); 2].map(|()| caller(counts.limited(&permits), 2));
        join(callers);
        assert_eq!(permits.in_use(), 0);
    });
}

#[test]
fn three_threads_with_two_permits_never_use_three() {
    model_with_two_preemptions(|| {
        let (permits, counts) = (std::sync::Arc::new(Semaphore::new(2)), Counts::new(2));
        let callers = [(); 2].map(|()| caller(counts.limited(&permits), 1));
        block_on(counts.limited(&permits).call(())).unwrap();
        join(callers);
        assert_eq!(permits.in_use(), 0);
    });
}

/// A thread keeps the permit that it released while another one lowers the limit and raises it again.
#[test]
fn a_limit_that_is_lowered_and_raised_meanwhile_is_not_exceeded_and_loses_no_permit() {
    model_with_two_preemptions(|| {
        let (permits, counts) = (std::sync::Arc::new(Semaphore::new(1)), Counts::new(1));
        let other = caller(counts.limited(&permits), 2);
        permits.set_limit(0);
        permits.set_limit(1);
        block_on(counts.limited(&permits).call(())).unwrap();
        join([other]);
        assert_eq!((permits.limit(), permits.in_use()), (1, 0));
        block_on(counts.limited(&permits).call(())).unwrap();
    });
}

/// The call that leaves was the reason that released permits went to the queue.
#[test]
fn a_call_that_leaves_the_queue_meanwhile_leaves_the_permit_to_the_next() {
    model_with_two_preemptions(|| {
        let permits = std::sync::Arc::new(Semaphore::new(1));
        let callers = [(); 2].map(|()| caller(limited(&permits), 1));
        poll_and_drop(limited(&permits).call(()));
        join(callers);
        assert_eq!(permits.in_use(), 0);
    });
}

/// The checker reports a lost wake-up as a deadlock.
#[test]
fn a_connection_that_registers_during_the_drain_signal_is_woken() {
    loom::model(|| {
        let (signal, watch) = drain::channel();
        let connection = thread::spawn(move || block_on(watch.draining()));
        signal.drain();
        connection.join().unwrap();
    });
}

#[test]
fn a_drain_of_a_share_and_then_of_all_reaches_every_connection() {
    model_with_two_preemptions(|| {
        let (signal, watch) = drain::channel();
        let connections =
            [watch.clone(), watch].map(|watch| thread::spawn(move || block_on(watch.draining())));
        signal.drain_share(0.5);
        signal.drain();
        join(connections);
    });
}

/// As at the end of a server, when a second signal arrives.
#[test]
fn two_drain_signals_may_be_sent_at_once() {
    loom::model(|| {
        let (signal, watch) = drain::channel();
        let connection = thread::spawn(move || block_on(watch.draining()));
        let other = {
            let signal = signal.clone();
            thread::spawn(move || signal.drain_share(1.0))
        };
        signal.drain();
        other.join().unwrap();
        connection.join().unwrap();
    });
}

/// The freed entry of a connection is used by the next one, which its wake-up did not wake.
#[test]
fn a_connection_that_leaves_during_the_drain_signal_takes_no_wake_up_of_another() {
    loom::model(|| {
        let (signal, watch) = drain::channel();
        let leaves = {
            let watch = watch.clone();
            thread::spawn(move || poll_and_drop(watch.draining()))
        };
        let stays = thread::spawn(move || block_on(watch.draining()));
        signal.drain();
        leaves.join().unwrap();
        stays.join().unwrap();
    });
}

fn seconds(seconds: u64) -> Nanos {
    Nanos(seconds * 1_000_000_000)
}

/// Threads of a caller's runtime read what one watchdog samples. After ten minutes in which the process was
/// stopped, one that saw half a sample would judge its peers by a clock ten minutes ahead.
#[test]
fn fault_25_a_thread_that_reads_the_clock_during_a_sample_does_not_see_the_suspension() {
    loom::model(|| {
        let clock = Arc::new(SuspendClock::default());
        clock.sample(seconds(1));
        let readers = [(); 2].map(|()| {
            let clock = clock.clone();
            thread::spawn(move || assert_eq!(clock.active_at(seconds(601)), seconds(1)))
        });
        clock.sample(seconds(601));
        join(readers);
        assert_eq!(clock.active_at(Nanos(seconds(601).0 + 1)), Nanos(seconds(1).0 + 1));
    });
}

fn ipv4(last: u8) -> PeerAddress {
    PeerAddress::Ip(([192, 0, 2, last], u16::from(last)).into())
}

/// Fails unless a row is of one connection: the numbers of each are those of its serial.
#[track_caller]
fn check_row(row: &ConnectionRow) {
    let of = row.id.serial;
    let opened = u64::from(of) * 100;
    assert_eq!(row.opened, Nanos(opened));
    assert!(row.peer == PeerAddress::Unix || row.peer == ipv4(of as u8), "{row:?}");
    assert!([0, u64::from(of) * 10].contains(&row.lines), "{row:?}");
    assert!([opened, opened + 7].contains(&row.since.0), "{row:?}");
    assert!([0, of].contains(&row.buffered_bytes), "{row:?}");
}

fn open_row(rows: &mut Rows, serial: u64) {
    rows.open(0, Nanos(serial * 100));
    rows.set_peer(0, ipv4(serial as u8));
}

#[test]
fn a_reader_never_sees_a_mix_of_two_connections_that_have_a_row_one_after_the_other() {
    model_with_two_preemptions(|| {
        let mut rows = Rows::default();
        open_row(&mut rows, 1);
        let chunks = rows.chunks();
        chunks.add_lines(0, 10);
        chunks.set_buffered(0, 1);
        chunks.park(0, State::Idle, Nanos(107));
        let owner = thread::spawn(move || {
            rows.free(0);
            open_row(&mut rows, 2);
        });
        for row in chunks.read_all(Nanos(1 << 40), |_| PeerAddress::Unix) {
            check_row(&row);
        }
        owner.join().unwrap();
    });
}

/// A wait that ended was in two words for a moment: as time that had passed and as a wait that went on.
#[test]
fn a_reader_never_counts_a_wait_twice() {
    loom::model(|| {
        let mut rows = Rows::default();
        rows.open(0, Nanos(0));
        let chunks = rows.chunks();
        chunks.park(0, State::WriteWait, Nanos(10));
        let owned = chunks.clone();
        let owner = thread::spawn(move || owned.park(0, State::Idle, Nanos(30)));
        let read = chunks.read_all(Nanos(30), |_| PeerAddress::Unix).next();
        let waited = read.unwrap().write_wait;
        assert_eq!(waited.as_nanos(), 20);
        owner.join().unwrap();
    });
}
