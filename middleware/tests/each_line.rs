//! A service for single lines in the place of one for batches.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    pin::pin,
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
use towline_middleware::{BoxError, EachLine, Line, Lines, Response};

/// A service that takes as many seconds as its line says, and records which calls run.
fn seconds() -> (
    impl Service<Line, Response = Vec<u8>, Error = BoxError, Future: Send> + Clone + Send + 'static,
    Arc<Mutex<Running>>,
) {
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

/// The whole reply of `each` to `lines`.
async fn whole<S>(each: S, lines: impl IntoIterator<Item = &str>) -> Result<Lines, BoxError>
where
    S: Service<Lines, Response = Response, Error = BoxError>,
{
    each.oneshot(Lines::from_iter(lines)).await?.into_batch().await
}

#[tokio::test(start_paused = true)]
async fn lines_are_served_one_at_a_time_in_order_by_default() {
    let (service, running) = seconds();
    let start = Instant::now();
    let reply = whole(EachLine::new(service), ["3", "1", "2"]).await.unwrap();
    assert_eq!(reply, Lines::from_iter(["took 3", "took 1", "took 2"]));
    assert_eq!((start.elapsed().as_secs(), running.lock().unwrap().most), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn replies_keep_their_order_and_no_more_calls_run_than_allowed() {
    let lines = ["9", "1", "5", "0", "3", "8", "0", "0", "2", "7", "4", "6"];
    for concurrent in 1..=13 {
        let (service, running) = seconds();
        let each = EachLine::new(service).concurrent(concurrent);
        let reply = whole(each, lines).await.unwrap();
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
    let reply = whole(EachLine::new(service).concurrent(0), ["1"]).await;
    assert_eq!(reply.unwrap(), Lines::from_iter(["took 1"]));
}

/// The replies that lines in front of it had earned were not given.
#[tokio::test(start_paused = true)]
async fn the_first_error_ends_the_batch_behind_the_replies_in_front_of_it() {
    let (service, running) = seconds();
    let start = Instant::now();
    let lines = Lines::from_iter(["100", "oops", "1"]);
    let response = EachLine::new(service).concurrent(2).oneshot(lines).await.unwrap();
    assert_eq!(response.as_bytes(), b"took 100\n");
    let error = response.into_batch().await.unwrap_err();
    assert!(error.to_string().contains("invalid digit"), "{error}");
    assert_eq!(start.elapsed().as_secs(), 100);
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
    assert_pending!(call.poll());
    let (line, reply) = handle.next_request().await.unwrap();
    assert_eq!(&line[..], b"a");
    reply.send_response(vec![b'!']);
    let response = call.await.unwrap();
    assert_eq!(response.as_bytes(), b"!\n", "it does not wait for the second");
    let mut rest = task::spawn(response.into_batch());
    assert_pending!(rest.poll());
    let (line, reply) = handle.next_request().await.unwrap();
    assert_eq!(&line[..], b"b");
    reply.send_response(vec![b'?']);
    assert_eq!(rest.await.unwrap(), Lines::from_iter(["!", "?"]));
}

/// Each wake polled every call that ran: 16,384 lines, answered one by one, took 240 microseconds each.
#[tokio::test(start_paused = true)]
async fn a_wake_polls_the_call_that_it_is_for() {
    const LINES: usize = 1_000;
    let polls = Arc::<AtomicUsize>::default();
    let counted = polls.clone();
    let service = service_fn(move |line: Line| {
        let polls = counted.clone();
        async move {
            let millis = line.to_str()?.parse()?;
            let mut sleep = pin!(sleep(Duration::from_millis(millis)));
            poll_fn(|cx| {
                polls.fetch_add(1, Relaxed);
                sleep.as_mut().poll(cx)
            })
            .await;
            Ok::<_, BoxError>(line)
        }
    });
    let lines: Vec<_> = (1..=LINES).map(|n| n.to_string()).collect();
    let each = EachLine::new(service).concurrent(LINES);
    let reply = whole(each, lines.iter().map(String::as_str)).await.unwrap();
    assert_eq!(reply, Lines::from_iter(&lines));
    let polls = polls.load(Relaxed);
    assert!(polls <= 4 * LINES, "{polls} polls of {LINES} calls");
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
    let eager = service_fn(|line: Line| async move { Ok::<_, Infallible>(line) });
    let batch = Lines::from_iter(std::iter::repeat_n("x", 10_000));
    let lines = batch.clone();
    let each = tokio::spawn(async move {
        EachLine::new(eager).oneshot(lines).await.unwrap().into_batch().await.unwrap()
    });
    assert_eq!(each.await.unwrap(), batch);
    ticker.abort();
    // A task has a budget of 128 units, and takes one for 16 lines.
    assert!(turns.load(Relaxed) >= 10_000 / (128 * 16), "{turns:?}");
}
