//! The request timeout: when it begins, and what it covers.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    task::consume_budget,
    time::{Instant, advance},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
use tower_test::mock;
use towline_middleware::{
    ConcurrencyLimitLayer, Lines, ReadyPerCallLayer, Semaphore, TimeoutLayer, stats::Stats,
};
use towline_test_support::line_stack;

const SECOND: Duration = Duration::from_secs(1);

fn lines(lines: &'static str) -> Lines {
    Lines::new(lines).unwrap()
}

#[tokio::test(start_paused = true)]
async fn fault_24_the_timeout_begins_with_the_first_wait_and_polls_the_call_once_more_at_its_end() {
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(TimeoutLayer::new(SECOND));
    let start = Instant::now();
    let mut calls = [(); 2].map(|()| {
        assert_ready_ok!(service.poll_ready());
        task::spawn(service.call(lines("a\n")))
    });
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let (_, reply) = assert_ready!(handle.poll_request()).unwrap();
    advance(SECOND + Duration::from_millis(1)).await;
    reply.send_response(lines("b\n"));
    let [answered, hanging] = &mut calls;
    assert_eq!(assert_ready_ok!(answered.poll()), lines("b\n"));
    assert!(assert_ready_err!(hanging.poll()).is::<tower::timeout::error::Elapsed>());
    assert!(start.elapsed() < 2 * SECOND);
}

/// As Tower's own do, so that they fit stacks of single lines and of anything else.
#[tokio::test]
async fn the_timeout_and_the_limit_inside_it_take_any_request_and_any_error() {
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(SECOND))
        .layer(ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(1))))
        .layer(ReadyPerCallLayer::new())
        .service(service_fn(async |text: &'static str| Ok::<_, Infallible>(text)));
    assert_eq!(service.oneshot("not a line").await.unwrap(), "not a line");
}

#[tokio::test(start_paused = true)]
async fn fault_24_the_timeout_covers_the_wait_for_a_permit() {
    let stats = Arc::new(Stats::new(Instant::now()));
    let permits = Arc::new(Semaphore::new(0));
    let (workload, _handle) = mock::pair::<Lines, Lines>();
    let limit = ConcurrencyLimitLayer::new(permits.clone());
    let start = Instant::now();
    let reply = line_stack(&stats, SECOND, limit, ReadyPerCallLayer::new().layer(workload))
        .oneshot(lines("a\nb\n"))
        .await
        .unwrap();
    assert_eq!(reply.as_bytes(), b"ERR timeout\nERR timeout\n");
    assert!(start.elapsed() < SECOND + Duration::from_millis(2));
    permits.set_limit(1);
    assert_eq!(permits.in_use(), 0, "no waiter is left behind");
}

/// A service of single lines that never wait was not interrupted: it used up its task's budget at every poll, and
/// a timer that is polled without any is pending. 16,384 lines of a millisecond were served
/// to the end with a timeout of 200 ms.
#[tokio::test(start_paused = true)]
async fn fault_24_the_timeout_fires_around_a_call_that_uses_up_its_budget_at_every_poll() {
    const LINE: Duration = Duration::from_millis(1);
    const TIMEOUT: Duration = Duration::from_millis(200);
    // Tokio gives a task 128 units at each poll, and a line takes one.
    const POLL: Duration = Duration::from_millis(128);
    let served = Arc::new(AtomicUsize::new(0));
    let count = served.clone();
    let each_line = service_fn(move |lines: Lines| {
        let count = count.clone();
        async move {
            for _ in lines.iter() {
                consume_budget().await;
                count.fetch_add(1, Relaxed);
                advance(LINE).now_or_never();
            }
            Ok::<_, Infallible>(lines)
        }
    });
    let service = TimeoutLayer::new(TIMEOUT).layer(each_line);
    let error =
        service.oneshot(std::iter::repeat_n("x", 16_384).collect::<Lines>()).await.unwrap_err();
    assert!(error.is::<tower::timeout::error::Elapsed>());
    // It begins at the end of the first poll, is checked at the end of each, and fires when the runtime
    // looked at its timers since.
    let lines_max = (TIMEOUT + 3 * POLL).as_millis() as usize;
    let served = served.load(Relaxed);
    assert!(served <= lines_max, "{served} lines were served within {TIMEOUT:?}");
}
