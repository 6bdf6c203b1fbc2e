//! A service for single lines in the place of one for batches.

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
use tower::{ServiceExt, service_fn};
use tower_service::Service;
use towline_middleware::{BoxError, EachLine, Line, Lines};

/// A service that takes as many seconds as its line says, and records which calls run.
fn seconds()
-> (impl Service<Line, Response = Vec<u8>, Error = BoxError> + Clone, Arc<Mutex<Running>>) {
    let running = Arc::new(Mutex::new(Running::default()));
    let record = running.clone();
    let service = service_fn(move |line: Line| {
        let record = record.clone();
        async move {
            record.lock().unwrap().begin(&line);
            let seconds: u64 = line.to_str()?.parse()?;
            sleep(Duration::from_secs(seconds)).await;
            record.lock().unwrap().now -= 1;
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
    let start = Instant::now();
    let reply = EachLine::new(service).oneshot(Lines::from_iter(["3", "1", "2"])).await.unwrap();
    assert_eq!(reply, Lines::from_iter(["took 3", "took 1", "took 2"]));
    assert_eq!((start.elapsed().as_secs(), running.lock().unwrap().most), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn replies_keep_their_order_and_no_more_calls_run_than_allowed() {
    let lines = ["9", "1", "5", "0", "3", "8", "0", "0", "2", "7", "4", "6"];
    for concurrent in 1..=13 {
        let (service, running) = seconds();
        let each = EachLine::new(service).concurrent(concurrent);
        let reply = each.oneshot(Lines::from_iter(lines)).await.unwrap();
        assert_eq!(reply, Lines::from_iter(lines.map(|line| format!("took {line}"))));
        let running = running.lock().unwrap();
        assert!(running.most <= concurrent, "{} ran, {concurrent} allowed", running.most);
        assert!(running.most >= concurrent.min(3), "{} ran, {concurrent} allowed", running.most);
        assert!(running.begun.iter().eq(lines.iter()), "calls begin in order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_of_0_means_1() {
    let (service, _) = seconds();
    let reply = EachLine::new(service).concurrent(0).oneshot(Lines::from_iter(["1"])).await;
    assert_eq!(reply.unwrap(), Lines::from_iter(["took 1"]));
}

#[tokio::test(start_paused = true)]
async fn the_first_error_ends_the_batch_and_the_calls_that_run_beside_it() {
    let (service, running) = seconds();
    let start = Instant::now();
    let lines = Lines::from_iter(["100", "oops", "1"]);
    let error = EachLine::new(service).concurrent(2).oneshot(lines).await.unwrap_err();
    assert!(error.to_string().contains("invalid digit"), "{error}");
    assert_eq!(start.elapsed().as_secs(), 0);
    assert_eq!(running.lock().unwrap().begun, ["100", "oops"], "no call begins after it");
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_made_ready_with_a_line_in_hand() {
    let (inner, mut handle) = tower_test::mock::pair::<Line, Vec<u8>>();
    handle.allow(0);
    let mut each = EachLine::new(inner);
    assert!(each.ready().await.is_ok(), "the inner service is not ready");
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
async fn other_tasks_run_beside_a_service_that_never_waits() {
    let turns = Arc::new(AtomicUsize::new(0));
    let turns_seen = turns.clone();
    let ticker = tokio::spawn(async move {
        loop {
            turns_seen.fetch_add(1, Relaxed);
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
