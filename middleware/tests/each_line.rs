//! The innermost services: SHA-256 of every line, and a service per line.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};
use tower_service::Service;
use towline_middleware::{
    BoxError, DigestMode, EachLine, Echo, Line, Lines, Sha256Layer, TimeoutLayer, stats::Stats,
};

const KIB: usize = 1024;

/// Published digests: FIPS 180-4's examples, and a million times `a`.
const VECTORS: [(&str, &str); 3] = [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
];
const MILLION_A: &str = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

fn sha256(
    digest: DigestMode,
) -> (impl Service<Lines, Response = Lines, Error = BoxError> + Clone, Arc<Stats>) {
    let stats = Arc::new(Stats::new(Instant::now()));
    (Sha256Layer::new(digest, stats.clone()).layer(Echo), stats)
}

#[tokio::test(start_paused = true)]
async fn digests_are_those_of_the_standard() {
    let (service, stats) = sha256(DigestMode::Reply);
    let (lines, digests): (Vec<_>, Vec<_>) = VECTORS.into_iter().unzip();
    let reply = service.clone().oneshot(Lines::from_iter(lines)).await.unwrap();
    assert_eq!(reply, Lines::from_iter(digests));
    assert_eq!(stats.hashed_bytes.get(), 62);

    let reply = service.oneshot(Lines::from_iter(["a".repeat(1_000_000)])).await.unwrap();
    assert_eq!(reply, Lines::from_iter([MILLION_A]));
}

#[tokio::test(start_paused = true)]
async fn a_carriage_return_is_hashed_with_its_line() {
    let (service, _) = sha256(DigestMode::Reply);
    let reply = service.oneshot(Lines::from_iter(["abc\r", "abc"])).await.unwrap();
    let replies: Vec<_> = reply.iter().collect();
    assert_ne!(replies[0], replies[1]);
}

#[tokio::test(start_paused = true)]
async fn discarded_digests_leave_the_lines_as_they_were() {
    let (service, stats) = sha256(DigestMode::Discard);
    let lines = Lines::from_iter(["a", "", "ccc"]);
    assert_eq!(service.oneshot(lines.clone()).await.unwrap(), lines);
    assert_eq!(stats.hashed_bytes.get(), 7);
}

/// Between two pieces of at most 64 KiB, or 4,096 short lines, another task runs.
#[tokio::test(start_paused = true)]
async fn fault_23_a_large_batch_gives_way_between_its_pieces() {
    for (line, pieces) in [("x".repeat(63), 16), (String::new(), 256), ("x".repeat(64 * KIB), 15)] {
        let count = (1 << 20) / (line.len() + 1);
        let (service, stats) = sha256(DigestMode::Discard);
        let longest = Arc::new(AtomicUsize::new(0));
        let (seen, at_most) = (stats.clone(), longest.clone());
        let turns = Arc::new(AtomicUsize::new(0));
        let others = turns.clone();
        let ticker = tokio::spawn(async move {
            let mut before = 0;
            loop {
                let hashed = seen.hashed_bytes.get() as usize;
                at_most.fetch_max(hashed - before, Relaxed);
                others.fetch_add(usize::from(hashed > before), Relaxed);
                before = hashed;
                tokio::task::yield_now().await;
            }
        });
        let batch = Lines::from_iter(std::iter::repeat_n(&line, count));
        let reply = service.oneshot(batch.clone()).await.unwrap();
        ticker.abort();
        assert_eq!(reply, batch);
        let turns = turns.load(Relaxed);
        assert!(turns >= pieces - 2, "{turns} turns for others with lines of {}", line.len());
        let longest = longest.load(Relaxed);
        assert!(longest <= 64 * KIB + line.len() + 1, "a piece of {longest} bytes");
    }
}

/// The clock is moved on between the pieces, as a slow processor would.
#[tokio::test(start_paused = true)]
async fn fault_23_a_request_timeout_cuts_a_batch_that_takes_too_long_to_hash() {
    let (service, stats) = sha256(DigestMode::Discard);
    let seen = stats.clone();
    let ticker = tokio::spawn(async move {
        let mut before = 0;
        loop {
            let hashed = seen.hashed_bytes.get();
            if hashed > before {
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            before = hashed;
            tokio::task::yield_now().await;
        }
    });
    let batch = Lines::from_iter(std::iter::repeat_n("x".repeat(64 * KIB), 64));
    let cut = TimeoutLayer::new(Duration::from_secs(5)).layer(service).oneshot(batch.clone()).await;
    ticker.abort();
    assert!(cut.unwrap_err().is::<tower::timeout::error::Elapsed>());
    let hashed = stats.hashed_bytes.get() as usize;
    assert!((1..batch.as_bytes().len() / 2).contains(&hashed), "{hashed} bytes were hashed");
}

/// A service that notes what runs and takes as many seconds as its line says.
fn seconds()
-> (impl Service<Line, Response = Vec<u8>, Error = BoxError> + Clone, Arc<Mutex<Running>>) {
    let running = Arc::new(Mutex::new(Running::default()));
    let note = running.clone();
    let service = service_fn(move |line: Line| {
        let note = note.clone();
        async move {
            note.lock().unwrap().begin(&line);
            let seconds: u64 = line.to_str()?.parse()?;
            sleep(Duration::from_secs(seconds)).await;
            note.lock().unwrap().now -= 1;
            Ok::<_, BoxError>([b"took ", &line[..]].concat())
        }
    });
    (service, running)
}

#[derive(Default)]
struct Running {
    now: usize,
    most: usize,
    begun: VecDeque<String>,
}

impl Running {
    fn begin(&mut self, line: &Line) {
        self.begun.push_back(line.to_str().unwrap().to_owned());
        self.now += 1;
        self.most = self.most.max(self.now);
    }
}

#[tokio::test(start_paused = true)]
async fn lines_are_served_one_at_a_time_in_order_by_default() {
    let (service, running) = seconds();
    let begun = Instant::now();
    let reply = EachLine::new(service).oneshot(Lines::from_iter(["3", "1", "2"])).await.unwrap();
    assert_eq!(reply, Lines::from_iter(["took 3", "took 1", "took 2"]));
    assert_eq!((begun.elapsed().as_secs(), running.lock().unwrap().most), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn replies_keep_their_order_however_many_run_and_never_more_than_allowed() {
    let lines = ["9", "1", "5", "0", "3", "8", "0", "0", "2", "7", "4", "6"];
    for concurrent in 1..=13 {
        let (service, running) = seconds();
        let each = EachLine::new(service).concurrent(concurrent);
        let reply = each.oneshot(Lines::from_iter(lines)).await.unwrap();
        assert_eq!(reply, Lines::from_iter(lines.map(|line| format!("took {line}"))));
        let running = running.lock().unwrap();
        assert!(running.most <= concurrent, "{} ran, {concurrent} allowed", running.most);
        assert!(running.most >= concurrent.min(3), "{} ran, {concurrent} allowed", running.most);
        assert!(running.begun.iter().eq(lines.iter()), "and begin in order");
    }
}

#[tokio::test(start_paused = true)]
async fn none_at_a_time_is_taken_as_one() {
    let (service, _) = seconds();
    let reply = EachLine::new(service).concurrent(0).oneshot(Lines::from_iter(["1"])).await;
    assert_eq!(reply.unwrap(), Lines::from_iter(["took 1"]));
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_the_batch_and_what_runs_beside_it() {
    let (service, running) = seconds();
    let begun = Instant::now();
    let lines = Lines::from_iter(["100", "oops", "1"]);
    let error = EachLine::new(service).concurrent(2).oneshot(lines).await.unwrap_err();
    assert!(error.to_string().contains("invalid digit"), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 0);
    assert_eq!(running.lock().unwrap().begun, ["100", "oops"], "nothing begins after it");
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_with_a_line_in_hand() {
    let (inner, mut handle) = tower_test::mock::pair::<Line, Vec<u8>>();
    handle.allow(0);
    let mut each = EachLine::new(inner);
    assert!(each.ready().await.is_ok(), "the inside is not");
    let mut call = task::spawn(each.call(Lines::from_iter(["a", "b"])));
    assert_pending!(call.poll());
    handle.allow(2);
    for expected in [&b"a"[..], b"b"] {
        assert_pending!(call.poll());
        let (line, reply) = handle.next_request().await.unwrap();
        assert_eq!(&line[..], expected);
        reply.send_response(vec![b'!']);
    }
    assert_eq!(call.await.unwrap(), Lines::from_iter(["!", "!"]));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_never_waits_lets_others_run() {
    let turns = Arc::new(AtomicUsize::new(0));
    let others = turns.clone();
    let ticker = tokio::spawn(async move {
        loop {
            others.fetch_add(1, Relaxed);
            tokio::task::yield_now().await;
        }
    });
    let eager = service_fn(|line: Line| async move { Ok::<_, BoxError>(line) });
    let batch = Lines::from_iter(std::iter::repeat_n("x", 10_000));
    let each = tokio::spawn(EachLine::new(eager).oneshot(batch.clone()));
    assert_eq!(each.await.unwrap().unwrap(), batch);
    ticker.abort();
    assert!(turns.load(Relaxed) > 10_000 / 200, "{turns:?}");
}
