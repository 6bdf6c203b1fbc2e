//! Counts of connections and their time in states: exact, and consistent at every reading.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

use proptest::prelude::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};
use tower_layer::Layer;
use tower_service::Service;
use towline_middleware::{
    Echo, FramedTransport, LinesBatchCodec, MeteredIo, ObserveLayer,
    internal::ConnectionStats,
    serve::Serve,
    stats::{Clock, CloseReason, Counter, Nanos, State, StateCells, StateSnapshot, Stats},
};
use towline_test_support::assert_closed_once;

/// An event of one of several connections.
#[derive(Debug, Clone, Copy)]
enum Event {
    Open(State),
    Change(prop::sample::Index, State),
    Close(prop::sample::Index, CloseReason),
}

fn event() -> impl Strategy<Value = Event> {
    let state = prop::sample::select(&State::ALL[..]);
    let reason = prop::sample::select(&CloseReason::ALL[..]);
    prop_oneof![
        2 => state.clone().prop_map(Event::Open),
        6 => (any::<prop::sample::Index>(), state).prop_map(|(at, to)| Event::Change(at, to)),
        1 => (any::<prop::sample::Index>(), reason).prop_map(|(at, why)| Event::Close(at, why)),
    ]
}

/// A reference that visits every connection.
#[derive(Default)]
struct Naive {
    open: Vec<(State, u64)>,
    finished: [u128; State::ALL.len()],
    accepted: u64,
    closed: [u64; CloseReason::ALL.len()],
}

impl Naive {
    fn leave(&mut self, (state, since): (State, u64), now: u64) {
        self.finished[state as usize] += u128::from(now - since);
    }

    fn nanos_in(&self, state: State, now: u64) -> u128 {
        let open = self.open.iter().filter(|(at, _)| *at == state);
        self.finished[state as usize] + open.map(|(_, since)| u128::from(now - since)).sum::<u128>()
    }
}

proptest! {
    #[test]
    fn time_in_states_is_the_naive_sum_to_the_nanosecond(
        // Also from late on, where 64 bits of connection-nanoseconds overflow at once.
        begin in prop_oneof![Just(0), Just(u64::MAX / 2)],
        events in prop::collection::vec((0_u64..1 << 50, event()), 1..120),
    ) {
        let (cells, mut naive, mut now) = (StateCells::default(), Naive::default(), begin);
        for (pause, event) in events {
            now += pause;
            match event {
                Event::Open(state) => {
                    cells.open(state, Nanos(now));
                    naive.open.push((state, now));
                    naive.accepted += 1;
                }
                Event::Change(at, to) if !naive.open.is_empty() => {
                    let at = at.index(naive.open.len());
                    let was = std::mem::replace(&mut naive.open[at], (to, now));
                    naive.leave(was, now);
                    cells.change(was.0, to, Nanos(now));
                }
                Event::Close(at, why) if !naive.open.is_empty() => {
                    let was = naive.open.swap_remove(at.index(naive.open.len()));
                    naive.leave(was, now);
                    naive.closed[why as usize] += 1;
                    cells.close(was.0, why, Nanos(now));
                }
                Event::Change(..) | Event::Close(..) => {}
            }
            let read = cells.snapshot();
            let later = now + 7;
            for state in State::ALL {
                prop_assert_eq!(read.nanos_in(state, Nanos(later)), naive.nanos_in(state, later));
            }
            prop_assert_eq!((read.accepted, read.closed), (naive.accepted, naive.closed));
            prop_assert_eq!(read.open(), naive.open.len() as u64);
        }
    }

    #[test]
    fn merged_shards_are_the_sum_of_the_shards(changes in prop::collection::vec(any::<bool>(), 0..40)) {
        let (both, one, other) =
            (StateCells::default(), StateCells::default(), StateCells::default());
        for (at, first) in (0..).zip(changes) {
            let shard = if first { &one } else { &other };
            for cells in [shard, &both] {
                cells.open(State::Ready, Nanos(at));
                cells.change(State::Ready, State::Idle, Nanos(2 * at));
            }
        }
        let mut merged = one.snapshot();
        merged.merge(&other.snapshot());
        prop_assert_eq!(merged, both.snapshot());
    }
}

#[test]
fn discriminants_are_indices_of_the_list() {
    assert!(State::ALL.iter().enumerate().all(|(at, &state)| state as usize == at));
    assert!(CloseReason::ALL.iter().enumerate().all(|(at, &why)| why as usize == at));
}

const WRITERS: u64 = 2;
const SNAPSHOTS: usize = 100_000;

/// Writers and the reader share a clock that advances at every reading. A change has its time first and is
/// entered a moment later; a reader in between counts that moment to the old state, and the next reading
/// takes it back. No other step back is possible: a torn pair of numbers would be wrong by the time since
/// the start, which is enormous here. (The exporter publishes the highest value so far, which hides the
/// moment.)
#[test]
fn a_hundred_thousand_readings_under_churn_are_consistent() {
    let cells = StateCells::default();
    let clock = AtomicU64::new(1 << 60);
    let longest_moment = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let now = || Nanos(clock.fetch_add(1, SeqCst));
    let stamped = |change: &dyn Fn(Nanos)| {
        let at = now();
        change(at);
        longest_moment.fetch_max(now().0 - at.0, SeqCst);
    };
    let churn = || {
        while !done.load(SeqCst) {
            stamped(&|at| cells.open(State::Ready, at));
            for pair in [State::Ready, State::Idle, State::Service, State::WriteWait].windows(2) {
                stamped(&|at| cells.change(pair[0], pair[1], at));
            }
            stamped(&|at| cells.close(State::WriteWait, CloseReason::PeerEof, at));
        }
    };
    let mut back = 0;
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(churn);
        }
        let mut highest = [0; State::ALL.len()];
        for _ in 0..SNAPSHOTS {
            let read = cells.snapshot();
            let now = now();
            assert_eq!(read.accepted - read.closed.iter().sum::<u64>(), read.open());
            assert!(read.open() <= WRITERS);
            for (state, highest) in State::ALL.into_iter().zip(&mut highest) {
                let nanos = read.nanos_in(state, now);
                back = back.max(u128::saturating_sub(*highest, nanos));
                *highest = nanos.max(*highest);
            }
        }
        done.store(true, SeqCst);
    });
    let moments = u128::from(WRITERS * longest_moment.load(SeqCst));
    assert!(back <= moments, "stepped back by {back}, by at most {moments} expected");
    let (read, now) = (cells.snapshot(), clock.load(SeqCst));
    assert_eq!((read.open(), read.nanos_in(State::Handshake, Nanos(now))), (0, 0));
    let total: u128 = State::ALL.iter().map(|&state| read.nanos_in(state, Nanos(now))).sum();
    assert!(total > 0 && total < u128::from(WRITERS * (now - (1 << 60))));
}

fn seconds_in(stats: &Stats, state: State) -> f64 {
    let read: StateSnapshot = stats.states.snapshot();
    Duration::from_nanos(read.nanos_in(state, stats.now()) as u64).as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn ten_idle_seconds_are_ten_seconds_of_read_wait() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let (mut peer, server) = duplex(64);
    let transport = FramedTransport::new(server, LinesBatchCodec::new(99));
    let connection = tokio::spawn(Serve::new(Echo).stats(stats.clone()).call(transport));

    sleep(Duration::from_secs(10)).await;
    assert_eq!(seconds_in(&stats, State::Idle), 10.0, "a wait still open counts");

    // Half a line: the connection waits for the rest of it.
    peer.write_all(b"ha").await.unwrap();
    sleep(Duration::from_secs(7)).await;
    assert_eq!((stats.read_buffer_bytes.get(), seconds_in(&stats, State::ReadWait)), (2, 7.0));
    peer.write_all(b"lf\n").await.unwrap();
    peer.read_exact(&mut [0; 5]).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    assert_eq!(seconds_in(&stats, State::Idle), 15.0);
    assert_eq!((stats.read_buffer_bytes.get(), seconds_in(&stats, State::ReadWait)), (0, 7.0));

    // Replies that the client does not read: 64 bytes are in the pipe, the rest waits.
    peer.write_all(&b"0123456789abcde\n".repeat(4)).await.unwrap();
    peer.write_all(&b"0123456789abcde\n".repeat(4)).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    assert_eq!((stats.write_buffer_bytes.get(), seconds_in(&stats, State::WriteWait)), (64, 3.0));
    peer.read_exact(&mut [0; 128]).await.unwrap();
    drop(peer);
    connection.await.unwrap().unwrap();
    let read = stats.states.snapshot();
    let total: u128 = State::ALL.iter().map(|&state| read.nanos_in(state, stats.now())).sum();
    assert_eq!(total, 25_000_000_000, "the times in all states are the age of the connection");
    assert_closed_once(&stats, CloseReason::PeerEof);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_counted_as_closed_once() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let mut connection = ConnectionStats::new(stats.clone());
    connection.close(CloseReason::Drain);
    connection.close(CloseReason::IoError);
    drop(connection);
    assert_closed_once(&stats, CloseReason::Drain);
    drop(ConnectionStats::new(stats.clone()));
    assert_eq!(stats.states.snapshot().closed[CloseReason::Shutdown as usize], 1);
}

/// Connections whose numbers are not exported counted all the same, in one place for the process. With every
/// line each thread took its lock, and a thread that the kernel stopped meanwhile stopped all others.
#[tokio::test(start_paused = true)]
async fn connections_that_were_given_no_stats_count_nowhere() {
    let (mut peer, server) = duplex(64);
    let mut serve = Serve::new(ObserveLayer::new(Stats::unobserved()).layer(Echo));
    let server = MeteredIo::new(server, Stats::unobserved());
    let connection = serve.call(FramedTransport::new(server, LinesBatchCodec::new(99)));
    let connection = tokio::spawn(connection);
    peer.write_all(b"a\nhalf").await.unwrap();
    peer.read_exact(&mut [0; 2]).await.unwrap();
    drop(peer);
    assert_eq!(connection.await.unwrap().unwrap(), CloseReason::PeerEof);
    let stats = Stats::unobserved();
    assert_eq!(stats.states.snapshot(), StateSnapshot::default());
    let counters = [&stats.lines_received, &stats.batches, &stats.read_bytes, &stats.written_bytes];
    assert_eq!(counters.map(Counter::get), [0; 4]);
    assert_eq!(stats.batch_duration.snapshot().count(), 0);
    assert_eq!((stats.buffered_bytes(), stats.unterminated_lines.get()), (0, 0));
}

/// A clock that a test sets.
static TEST_CLOCK: AtomicU64 = AtomicU64::new(7_000_000_000);

#[tokio::test(start_paused = true)]
async fn another_clock_counts_from_the_same_epoch() {
    let epoch = Instant::now();
    sleep(Duration::from_secs(2)).await;
    let clock = Clock::read_by(epoch, || TEST_CLOCK.load(SeqCst));
    let stats = Stats::new(clock);
    assert_eq!(stats.now(), stats.at(Instant::now()));

    TEST_CLOCK.fetch_add(1_500_000_000, SeqCst);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(stats.now(), Nanos(3_500_000_000));
    assert_eq!(stats.instant(stats.now()), Instant::now());
}
