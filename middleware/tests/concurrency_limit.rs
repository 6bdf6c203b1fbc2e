//! The layers of the line stack, one at a time and as they are stacked.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use support::{End, FaultyIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync,
    time::{Instant, sleep},
};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{
    ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer,
    service_fn,
};
use tower_layer::Layer;
use tower_service::Service;
use tower_test::mock;
use towline_middleware::{
    BoxError, ConcurrencyLimitLayer, ErrorReplyLayer, FramedTransport, Lines, LinesBatchCodec,
    LoadShed, ObserveLayer, ReadyPerCallLayer, Semaphore, TimeoutLayer, drain,
    serve::Serve,
    serve_connection,
    stats::{LineResult, State, Stats},
};

const SECOND: Duration = Duration::from_secs(1);

fn lines(lines: &'static str) -> Lines {
    Lines::new(lines).unwrap()
}

/// The line stack of the server, with its parts at hand.
fn stack<S>(
    stats: &Arc<Stats>,
    permits: &Arc<Semaphore>,
    load_shed: LoadShed,
    workload: S,
) -> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + use<S>
where
    S: Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + Sync,
{
    ServiceBuilder::new()
        .layer(ErrorReplyLayer::new())
        .layer(ObserveLayer::new(stats.clone()))
        .layer(TimeoutLayer::new(SECOND))
        .layer(ConcurrencyLimitLayer::new(permits.clone()).load_shed(load_shed))
        .layer(ReadyPerCallLayer::new())
        .service(workload)
}

fn books() -> Arc<Stats> {
    Arc::new(Stats::new(Instant::now()))
}

#[tokio::test(start_paused = true)]
async fn readiness_is_asked_for_with_a_request_in_hand() {
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(ReadyPerCallLayer::new());
    handle.allow(0);
    // The outside is ready although the inside is not.
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(lines("a\n")));
    assert_pending!(call.poll());
    assert_pending!(handle.poll_request());

    handle.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());
    let (request, reply) = assert_ready!(handle.poll_request()).unwrap();
    assert_eq!(request, lines("a\n"));
    reply.send_response(lines("b\n"));
    assert_eq!(assert_ready_ok!(call.poll()), lines("b\n"));
}

#[tokio::test(start_paused = true)]
async fn fault_24_an_inside_that_fails_to_get_ready_fails_the_call() {
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(ReadyPerCallLayer::new());
    handle.allow(0);
    assert_ready_ok!(service.poll_ready());
    let mut waiting = task::spawn(service.call(lines("a\n")));
    assert_pending!(waiting.poll());
    handle.send_error("broken");
    assert_eq!(assert_ready_err!(waiting.poll()).to_string(), "broken");

    // Also when it failed before the call.
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(ReadyPerCallLayer::new());
    handle.send_error("broken");
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(lines("a\n")));
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "broken");
}

#[tokio::test(start_paused = true)]
async fn fault_24_the_timeout_counts_from_a_call_s_first_wait_and_gives_its_inside_a_last_look() {
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(TimeoutLayer::new(SECOND));
    let begun = Instant::now();
    let mut calls = [(); 2].map(|()| {
        assert_ready_ok!(service.poll_ready());
        task::spawn(service.call(lines("a\n")))
    });
    for call in &mut calls {
        assert_pending!(call.poll());
    }
    let (_, reply) = assert_ready!(handle.poll_request()).unwrap();
    tokio::time::advance(SECOND + Duration::from_millis(1)).await;
    reply.send_response(lines("b\n"));
    let [answered, hanging] = &mut calls;
    assert_eq!(assert_ready_ok!(answered.poll()), lines("b\n"));
    assert!(assert_ready_err!(hanging.poll()).is::<tower::timeout::error::Elapsed>());
    assert!(begun.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn fault_24_the_timeout_covers_the_wait_for_a_permit() {
    let (stats, permits) = (books(), Arc::new(Semaphore::new(0)));
    let (workload, _handle) = mock::pair::<Lines, Lines>();
    let begun = Instant::now();
    let reply =
        stack(&stats, &permits, LoadShed::Off, workload).oneshot(lines("a\nb\n")).await.unwrap();
    assert_eq!(reply.as_bytes(), b"ERR timeout\nERR timeout\n");
    assert!(begun.elapsed() < SECOND + Duration::from_millis(2));
    permits.set_limit(1);
    assert_eq!(permits.in_use(), 0, "no waiter is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_shed_line_leaves_no_waiter_behind() {
    let (stats, permits) = (books(), Arc::new(Semaphore::new(0)));
    let (workload, _handle) = mock::pair::<Lines, Lines>();
    let mut stack = stack(&stats, &permits, LoadShed::WhenFull, workload);
    for _ in 0..3 {
        let reply = stack.ready().await.unwrap().call(lines("a\nb\n")).await.unwrap();
        assert_eq!(reply.as_bytes(), b"ERR overloaded\nERR overloaded\n");
    }
    permits.set_limit(1);
    assert_eq!(permits.in_use(), 0, "a waiter would have taken it");
    assert_eq!(stats.lines_processed[LineResult::Shed as usize].get(), 6);
}

/// Tower's `LoadShed` says "ready" while the limit inside has queued for a permit, which the permit
/// would give to a call that no longer waits.
#[tokio::test(start_paused = true)]
async fn nor_does_a_line_that_tower_s_own_layers_shed() {
    let permits = Arc::new(sync::Semaphore::new(0));
    let mut service = ServiceBuilder::new()
        .layer(ReadyPerCallLayer::new())
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()))
        .service(towline_middleware::Echo);
    let error = service.ready().await.unwrap().call(lines("a\n")).await.unwrap_err();
    assert!(error.is::<tower::load_shed::error::Overloaded>());
    permits.add_permits(1);
    assert_eq!(permits.available_permits(), 1, "a waiter would have taken it");
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_a_permit_get_it_in_the_order_of_arrival() {
    let permits = Arc::new(Semaphore::new(0));
    let limit = ConcurrencyLimitLayer::new(permits.clone());
    let mut service = ServiceBuilder::new().layer(limit).service(towline_middleware::Echo);
    let mut call = |request| {
        assert_ready_ok!(task::spawn(service.ready()).poll());
        task::spawn(service.call(lines(request)))
    };
    let (mut first, mut second) = (call("1\n"), call("2\n"));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    permits.set_limit(1);
    let mut third = call("3\n");
    assert_pending!(third.poll(), "it may not overtake");
    assert!(first.is_woken() && !second.is_woken());
    assert_eq!(assert_ready_ok!(first.poll()), lines("1\n"));
    drop(first);
    assert_eq!(assert_ready_ok!(second.poll()), lines("2\n"));
    drop(second);
    assert_eq!(assert_ready_ok!(third.poll()), lines("3\n"));
}

/// Calls of a service that never answers, each of which has a permit or waits for one.
fn endless_calls(permits: &Arc<Semaphore>) -> impl FnMut() -> Pin<Box<task::Spawn<EndlessCall>>> {
    let endless = service_fn(|_: Lines| std::future::pending::<Result<Lines, BoxError>>());
    let mut limited = ConcurrencyLimitLayer::new(permits.clone()).layer(endless);
    move || {
        let mut call = task::spawn(Box::pin(limited.call(lines("a\n"))) as EndlessCall);
        assert_pending!(call.poll());
        Box::pin(call)
    }
}

type EndlessCall = Pin<Box<dyn Future<Output = Result<Lines, BoxError>>>>;

#[test]
fn a_raised_limit_lets_in_who_waits() {
    let permits = Arc::new(Semaphore::new(1));
    let mut call = endless_calls(&permits);
    let _first = call();
    let [second, third] = [call(), call()];
    permits.set_limit(2);
    assert_eq!((permits.limit(), permits.in_use()), (2, 2));
    assert!(second.is_woken() && !third.is_woken());
}

#[test]
fn a_lowered_limit_is_reached_as_permits_come_back_and_before_anybody_gets_one() {
    let permits = Arc::new(Semaphore::new(10));
    let mut call = endless_calls(&permits);
    let mut calls: Vec<_> = (0..8).map(|_| call()).collect();
    permits.set_limit(3);
    assert_eq!((permits.limit(), permits.in_use()), (3, 8));
    let waits = call();
    while calls.len() > 3 {
        calls.pop();
        assert!(!waits.is_woken(), "{} are out", calls.len());
    }
    calls.pop();
    assert!(waits.is_woken());
    assert_eq!(permits.in_use(), 3);
    drop((waits, calls));
    assert_eq!(permits.in_use(), 0);
}

#[test]
fn who_gives_up_in_line_or_with_a_permit_at_hand_leaves_it_to_the_next() {
    let permits = Arc::new(Semaphore::new(1));
    let mut call = endless_calls(&permits);
    let first = call();
    let [granted, gives_up, next, last] = [call(), call(), call(), call()];
    drop(gives_up);
    drop(first);
    assert!(granted.is_woken() && !next.is_woken());
    // It was granted one and never came for it.
    drop(granted);
    assert!(next.is_woken() && !last.is_woken());
    assert_eq!(permits.in_use(), 1);
    drop((next, last));
    assert_eq!(permits.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn fault_24_a_permit_comes_back_when_a_batch_is_answered_dropped_or_panics() {
    let (stats, permits) = (books(), Arc::new(Semaphore::new(1)));
    let workload = service_fn(|lines: Lines| async move {
        match lines.as_bytes() {
            b"panic\n" => panic!("the service was asked to panic"),
            b"hang\n" => std::future::pending().await,
            _ => Ok::<_, BoxError>(lines),
        }
    });
    let call = |request| stack(&stats, &permits, LoadShed::Off, workload).oneshot(lines(request));

    call("fine\n").await.unwrap();
    assert_eq!(permits.in_use(), 0);
    let mut hanging = task::spawn(call("hang\n"));
    assert_pending!(hanging.poll());
    assert_eq!(permits.in_use(), 1);
    drop(hanging);
    assert_eq!(permits.in_use(), 0);
    assert_eq!(call("hang\n").await.unwrap().as_bytes(), b"ERR timeout\n");
    assert_eq!(permits.in_use(), 0);
    assert!(tokio::spawn(call("panic\n")).await.unwrap_err().is_panic());
    assert_eq!(permits.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn fault_24_idle_connections_hold_no_permits() {
    let (stats, permits) = (books(), Arc::new(Semaphore::new(2)));
    let serve = || {
        let (peer, server) = duplex(64);
        let lines = stack(&stats, &permits, LoadShed::Off, towline_middleware::Echo);
        let watch = drain::Watch::never();
        tokio::spawn(async move {
            serve_connection(server, LinesBatchCodec::new(99), lines, watch).await
        });
        peer
    };
    let mut idle: Vec<_> = (0..1000).map(|_| serve()).collect();
    for peer in &mut idle {
        peer.write_all(b"once\nhalf").await.unwrap();
        peer.read_exact(&mut [0; 5]).await.unwrap();
    }
    assert_eq!(permits.in_use(), 0);
    let begun = Instant::now();
    let mut next = serve();
    next.write_all(b"next\n").await.unwrap();
    next.read_exact(&mut [0; 5]).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

/// A batch whose timeout passed while it waited for a permit left the mark "waits for readiness"
/// behind, and the next connection of the thread that parked for its service took it: a batch in
/// its service was shown as one that waits for a permit.
#[tokio::test(start_paused = true)]
async fn only_the_batch_that_waits_for_a_permit_is_shown_as_waiting() {
    let stats = books();
    let state = |state: State| stats.states.snapshot().connections[state as usize];
    let transport =
        || FramedTransport::new(FaultyIo::new("a\n").end(End::Silence), LinesBatchCodec::new(99));
    // Looked at ten times a second, like a service with several things to wait for.
    let slow = service_fn(|lines: Lines| async move {
        for _ in 0..100 {
            sleep(SECOND / 10).await;
        }
        Ok::<_, BoxError>(lines)
    });
    tokio::spawn(Serve::new(slow).stats(stats.clone()).call(transport()));
    let none = Arc::new(Semaphore::new(0));
    let limited = stack(&stats, &none, LoadShed::Off, towline_middleware::Echo);
    tokio::spawn(Serve::new(limited).stats(stats.clone()).call(transport()));

    sleep(SECOND * 19 / 20).await;
    assert_eq!([state(State::LimitWait), state(State::Service), state(State::Idle)], [1, 1, 0]);
    // Right behind the timeout, and behind the next time the other one is looked at.
    for _ in 0..2 {
        sleep(SECOND / 10).await;
        assert_eq!([state(State::LimitWait), state(State::Service), state(State::Idle)], [0, 1, 1]);
    }
}

#[tokio::test(start_paused = true)]
async fn lines_are_counted_by_how_they_ended() {
    let stats = books();
    let workload = service_fn(|lines: Lines| async move {
        sleep(SECOND / 100).await;
        match lines.as_bytes() {
            b"fail\n" => Err(BoxError::from("no")),
            b"hang\n" => std::future::pending().await,
            _ => Ok(lines),
        }
    });
    let permits = Arc::new(Semaphore::new(9));
    let call = |request| stack(&stats, &permits, LoadShed::Off, workload).oneshot(lines(request));
    call("a\nb\nc\n").await.unwrap();
    call("d\n").await.unwrap();
    assert_eq!(call("fail\n").await.unwrap_err().to_string(), "no");
    call("hang\n").await.unwrap();
    let mut cut = task::spawn(call("cut\noff\n"));
    assert_pending!(cut.poll());
    drop(cut);

    let processed = LineResult::ALL.map(|result| stats.lines_processed[result as usize].get());
    assert_eq!(processed, [4, 1, 0, 1], "ok, timeout, shed, error");
    assert_eq!((stats.lines_received.get(), stats.batches.get()), (8, 5));
    let durations = stats.batch_duration.snapshot();
    assert_eq!(durations.count(), 4, "a batch that was cut off has no duration");
    let seconds = durations.sum_nanos as f64 / 1e9;
    assert!((1.03..1.04).contains(&seconds), "{seconds}");
}

/// Most batches are timed by the look at the clock with which their connection parks. One that another
/// follows before that is not charged with what the other takes.
#[tokio::test(start_paused = true)]
async fn a_batch_of_a_connection_is_timed_without_the_batch_after_it() {
    let stats = books();
    let slow = service_fn(|lines: Lines| {
        // The clock moves when this is first polled.
        assert_pending!(task::spawn(tokio::time::advance(SECOND)).poll());
        std::future::ready(Ok::<_, BoxError>(lines))
    });
    let service = ObserveLayer::new(stats.clone()).layer(slow);
    let codec = LinesBatchCodec::new(99).lines_max(1);
    let wire = FramedTransport::new(FaultyIo::new("a\nb\nc\n").end(End::Silence), codec);
    let mut connection = task::spawn(Serve::new(service).stats(stats.clone()).call(wire));
    assert_pending!(connection.poll());
    let durations = stats.batch_duration.snapshot();
    assert_eq!((durations.count(), durations.sum_nanos), (3, 3_000_000_000));
    drop(connection);
    assert_eq!(stats.batch_duration.snapshot().count(), 3);
}

/// As Tower's own do, so that they fit stacks of single lines and of anything else.
#[tokio::test]
async fn the_limit_and_the_timeout_take_any_request_and_any_error() {
    let service = ServiceBuilder::new()
        .layer(TimeoutLayer::new(SECOND))
        .layer(ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(1))))
        .layer(ReadyPerCallLayer::new())
        .service(service_fn(async |text: &'static str| Ok::<_, std::convert::Infallible>(text)));
    assert_eq!(service.oneshot("not a line").await.unwrap(), "not a line");

    // Errors that know how to become boxed need no adapter around the layers that handle lines either.
    let service = ServiceBuilder::new()
        .layer(ErrorReplyLayer::new())
        .layer(ObserveLayer::new(books()))
        .service(service_fn(async |lines| Ok::<_, std::convert::Infallible>(lines)));
    assert_eq!(service.oneshot(lines("a\n")).await.unwrap(), lines("a\n"));
}
