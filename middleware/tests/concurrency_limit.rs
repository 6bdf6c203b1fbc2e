//! Permits: the order in which calls get them, and how they come back.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt as _, TryFutureExt as _, future::try_join};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    time::{Instant, sleep},
};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{ServiceBuilder, ServiceExt, load_shed::error::Overloaded, service_fn};
use tower_layer::Layer;
use tower_service::Service;
use tower_test::mock;
use towline_middleware::{
    BoxError, ConcurrencyLimitLayer, Echo, FramedTransport, Lines, LinesBatchCodec, LoadShed,
    ReadyPerCallLayer, Semaphore, drain,
    serve::Serve,
    serve_connection,
    stats::{LineResult, State, Stats},
};
use towline_test_support::{End, FaultyIo, line_stack};

const SECOND: Duration = Duration::from_secs(1);

fn lines(lines: &'static str) -> Lines {
    Lines::new(lines).unwrap()
}

/// The line stack of the server with a request timeout of a second, around a service of a user's.
fn stack<S>(
    stats: &Arc<Stats>,
    permits: &Arc<Semaphore>,
    load_shed: LoadShed,
    service: S,
) -> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + use<S>
where
    S: Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send,
{
    let limit = ConcurrencyLimitLayer::new(permits.clone()).load_shed(load_shed);
    line_stack(stats, SECOND, limit, ReadyPerCallLayer::new().layer(service))
}

fn new_stats() -> Arc<Stats> {
    Arc::new(Stats::new(Instant::now()))
}

#[tokio::test(start_paused = true)]
async fn a_shed_line_leaves_no_waiter_behind() {
    let (stats, permits) = (new_stats(), Arc::new(Semaphore::new(0)));
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

#[tokio::test(start_paused = true)]
async fn waiting_calls_get_permits_in_the_order_of_their_arrival() {
    let permits = Arc::new(Semaphore::new(0));
    let limit = ConcurrencyLimitLayer::new(permits.clone());
    let mut service = ServiceBuilder::new().layer(limit).service(Echo);
    let mut call = |request| {
        assert_ready_ok!(task::spawn(service.ready()).poll());
        task::spawn(service.call(lines(request)))
    };
    let (mut first, mut second) = (call("1\n"), call("2\n"));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    permits.set_limit(1);
    let mut third = call("3\n");
    assert_pending!(third.poll(), "it overtakes the second one");
    assert!(first.is_woken() && !second.is_woken());
    assert_eq!(assert_ready_ok!(first.poll()), lines("1\n"));
    drop(first);
    assert_eq!(assert_ready_ok!(second.poll()), lines("2\n"));
    drop(second);
    assert_eq!(assert_ready_ok!(third.poll()), lines("3\n"));
}

#[tokio::test(start_paused = true)]
async fn fault_24_a_permit_is_released_when_a_batch_is_answered_dropped_or_panics() {
    let (stats, permits) = (new_stats(), Arc::new(Semaphore::new(1)));
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
    let (stats, permits) = (new_stats(), Arc::new(Semaphore::new(2)));
    let serve = || {
        let (peer, server) = duplex(64);
        let lines = stack(&stats, &permits, LoadShed::Off, Echo);
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

/// A batch whose timeout passed while it waited for a permit left the mark "waits for readiness" behind.
/// The next connection of the thread that parked took it, so that a batch in its service was shown as
/// one that waits for a permit.
#[tokio::test(start_paused = true)]
async fn only_the_batch_that_waits_for_a_permit_is_shown_as_waiting() {
    let stats = new_stats();
    let state = |state: State| stats.states.snapshot().connections[state as usize];
    let transport =
        || FramedTransport::new(FaultyIo::new("a\n").end(End::Silence), LinesBatchCodec::new(99));
    // Polled ten times a second, like a service that waits for several things.
    let slow = service_fn(|lines: Lines| async move {
        for _ in 0..100 {
            sleep(SECOND / 10).await;
        }
        Ok::<_, BoxError>(lines)
    });
    tokio::spawn(Serve::new(slow).stats(stats.clone()).call(transport()));
    let permits = Arc::new(Semaphore::new(0));
    let limited = stack(&stats, &permits, LoadShed::Off, Echo);
    tokio::spawn(Serve::new(limited).stats(stats.clone()).call(transport()));

    sleep(SECOND * 19 / 20).await;
    assert_eq!([state(State::LimitWait), state(State::Service), state(State::Idle)], [1, 1, 0]);
    // Right after the timeout, and after the next poll of the slow one.
    for _ in 0..2 {
        sleep(SECOND / 10).await;
        assert_eq!([state(State::LimitWait), state(State::Service), state(State::Idle)], [0, 1, 1]);
    }
}

/// Of two calls in one batch, the last that was polled decided how the batch was shown: one that had its
/// permit hid the other, which waited for one.
#[tokio::test(start_paused = true)]
async fn a_batch_with_one_call_that_waits_for_a_permit_is_shown_as_waiting() {
    let stats = new_stats();
    let [never, later] = [0, 0].map(|permits| Arc::new(Semaphore::new(permits)));
    let limited = |permits: &Arc<Semaphore>| {
        let hangs = service_fn(|_: Lines| std::future::pending::<Result<Lines, BoxError>>());
        ConcurrencyLimitLayer::new(permits.clone()).layer(hangs)
    };
    let (full, granted) = (limited(&never), limited(&later));
    let both = service_fn(move |lines: Lines| {
        try_join(full.clone().oneshot(lines.clone()), granted.clone().oneshot(lines))
            .map_ok(|(reply, _)| reply)
    });
    let io = FaultyIo::new("a\n").end(End::Silence);
    let transport = FramedTransport::new(io, LinesBatchCodec::new(99));
    tokio::spawn(Serve::new(both).stats(stats.clone()).call(transport));
    sleep(SECOND).await;
    later.set_limit(1);
    sleep(SECOND).await;
    assert_eq!(later.in_use(), 1);
    let state = |state: State| stats.states.snapshot().connections[state as usize];
    assert_eq!([state(State::LimitWait), state(State::Service)], [1, 0]);
}

#[tokio::test]
async fn load_shedding_can_be_changed_for_services_that_exist() {
    let layers =
        [0, 1].map(|permits| ConcurrencyLimitLayer::new(Arc::new(Semaphore::new(permits))));
    let [full, free] = layers.each_ref().map(|layer| layer.layer(Echo));
    let set = |load_shed| layers.iter().for_each(|layer| layer.set_load_shed(load_shed));
    assert!(full.clone().call(lines("a\n")).now_or_never().is_none(), "it waits");
    set(LoadShed::WhenFull);
    assert!(full.clone().oneshot(lines("a\n")).await.unwrap_err().is::<Overloaded>());
    assert!(free.clone().oneshot(lines("a\n")).await.is_ok());
    set(LoadShed::Always);
    assert!(free.oneshot(lines("a\n")).await.unwrap_err().is::<Overloaded>());
}
