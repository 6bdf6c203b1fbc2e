//! The permits of one semaphore: which call gets the next, and what several threads do with them. A permit stays
//! with the thread that released it, and one that stays there while a call of another thread waits would be
//! lost to it.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use tokio_test::{assert_pending, task};
use tower::service_fn;
use tower_layer::Layer;
use tower_service::Service;
use towline_middleware::{BoxError, ConcurrencyLimitLayer, Lines, Semaphore};
use towline_test_support::wait_until;

/// Calls of a service that never answers, each of which has a permit or waits for one.
fn endless_calls(permits: &Arc<Semaphore>) -> impl FnMut() -> Pin<Box<task::Spawn<EndlessCall>>> {
    let endless = service_fn(|_: Lines| std::future::pending::<Result<Lines, BoxError>>());
    let mut limited = ConcurrencyLimitLayer::new(permits.clone()).layer(endless);
    move || {
        let mut call =
            task::spawn(Box::pin(limited.call(Lines::new("a\n").unwrap())) as EndlessCall);
        assert_pending!(call.poll());
        Box::pin(call)
    }
}

type EndlessCall = Pin<Box<dyn Future<Output = Result<Lines, BoxError>>>>;

#[test]
fn a_raised_limit_gives_permits_to_waiting_calls() {
    let permits = Arc::new(Semaphore::new(1));
    let mut call = endless_calls(&permits);
    let _first = call();
    let [second, third] = [call(), call()];
    permits.set_limit(2);
    assert_eq!((permits.limit(), permits.in_use()), (2, 2));
    assert!(second.is_woken() && !third.is_woken());
}

#[test]
fn a_lowered_limit_is_reached_before_a_waiting_call_gets_a_permit() {
    let permits = Arc::new(Semaphore::new(10));
    let mut call = endless_calls(&permits);
    let mut calls: Vec<_> = (0..8).map(|_| call()).collect();
    permits.set_limit(3);
    assert_eq!((permits.limit(), permits.in_use()), (3, 8));
    let waits = call();
    while calls.len() > 3 {
        calls.pop();
        assert!(!waits.is_woken(), "{} permits are in use", calls.len());
    }
    calls.pop();
    assert!(waits.is_woken());
    assert_eq!(permits.in_use(), 3);
    drop((waits, calls));
    assert_eq!(permits.in_use(), 0);
}

#[test]
fn a_dropped_call_leaves_its_place_in_the_queue_and_its_permit_to_the_next() {
    let permits = Arc::new(Semaphore::new(1));
    let mut call = endless_calls(&permits);
    let first = call();
    let [granted, dropped, next, last] = [call(), call(), call(), call()];
    drop(dropped);
    drop(first);
    assert!(granted.is_woken() && !next.is_woken());
    // It has been granted a permit that it has not taken.
    drop(granted);
    assert!(next.is_woken() && !last.is_woken());
    assert_eq!(permits.in_use(), 1);
    drop((next, last));
    assert_eq!(permits.in_use(), 0);
}

/// A waiter that left was searched for in the whole queue, under the lock of all threads: 40,000 calls that
/// were dropped last first, as at the end of a server, held it for 233 ms.
#[test]
fn calls_that_leave_the_queue_last_first_leave_the_others_in_their_order() {
    let permits = Arc::new(Semaphore::new(1));
    let mut call = endless_calls(&permits);
    let first = call();
    let [second, third] = [call(), call()];
    let mut leaving: Vec<_> = (0..40_000).map(|_| call()).collect();
    let last = call();
    while leaving.pop().is_some() {}
    drop(first);
    assert!(second.is_woken() && !third.is_woken());
    drop(second);
    assert!(third.is_woken() && !last.is_woken());
    drop(third);
    assert!(last.is_woken());
}

/// A call that was acquired and released on a thread of its own, which leaves its permit there.
fn call_on_another_thread(permits: &Arc<Semaphore>) {
    thread::scope(|scope| {
        scope.spawn(|| drop(endless_calls(permits)()));
    });
}

#[test]
fn a_permit_that_another_thread_released_is_free_for_every_thread() {
    let permits = Arc::new(Semaphore::new(1));
    for _ in 0..100 {
        call_on_another_thread(&permits);
        assert_eq!(permits.in_use(), 0);
        let held = endless_calls(&permits)();
        assert_eq!(permits.in_use(), 1);
        assert!(!held.is_woken());
    }
}

#[test]
fn a_call_that_waits_gets_the_permit_that_another_thread_releases() {
    let permits = Arc::new(Semaphore::new(2));
    let (held, waits) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            let calls = [(); 2].map(|()| endless_calls(&permits)());
            held.wait();
            waits.wait();
            drop(calls);
        });
        held.wait();
        let mut call = endless_calls(&permits);
        let [first, second, third] = [call(), call(), call()];
        waits.wait();
        wait_until("the permit", || second.is_woken());
        assert!(first.is_woken() && !third.is_woken());
        assert_eq!(permits.in_use(), 2);
    });
    assert_eq!(permits.in_use(), 0);
}

/// The thread first uses the semaphore while calls wait: what it releases must go to them too.
#[test]
fn a_thread_whose_first_call_waits_leaves_its_permit_to_the_next() {
    let permits = Arc::new(Semaphore::new(1));
    let (queued, granted) = (Barrier::new(2), Barrier::new(2));
    let mut call = endless_calls(&permits);
    let (held, before) = (call(), call());
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut first = endless_calls(&permits)();
            queued.wait();
            granted.wait();
            assert!(first.is_woken());
            assert_pending!(first.poll());
        });
        queued.wait();
        let after = call();
        drop(held);
        drop(before);
        assert!(!after.is_woken());
        granted.wait();
        wait_until("the permit", || after.is_woken());
    });
    assert_eq!(permits.in_use(), 0);
}

#[test]
fn a_lowered_limit_takes_back_what_other_threads_keep() {
    let permits = Arc::new(Semaphore::new(8));
    for _ in 0..8 {
        call_on_another_thread(&permits);
    }
    permits.set_limit(1);
    let mut call = endless_calls(&permits);
    let (held, waits) = (call(), call());
    assert_eq!((permits.limit(), permits.in_use()), (1, 1));
    permits.set_limit(2);
    assert!(waits.is_woken());
    drop((held, waits));
    permits.set_limit(0);
    assert_eq!((permits.limit(), permits.in_use()), (0, 0));
    assert!(!call().is_woken());
}

/// How many calls are served at a time, and how many were at most.
#[derive(Default)]
struct Served {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Served {
    async fn serve(&self) -> Result<(), BoxError> {
        self.most.fetch_max(self.now.fetch_add(1, SeqCst) + 1, SeqCst);
        tokio::task::yield_now().await;
        self.now.fetch_sub(1, SeqCst);
        Ok(())
    }
}

const THREADS: usize = 8;

/// Eight threads with three connections each, as many shards. Every call is answered, which none would
/// be that waits while its permit is free.
fn serve_on_eight_threads(permits: &Arc<Semaphore>, meanwhile: impl FnOnce()) -> usize {
    let served = Arc::new(Served::default());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let limit = ConcurrencyLimitLayer::new(permits.clone());
            let served = served.clone();
            scope.spawn(move || {
                let service = limit.layer(service_fn(move |()| {
                    let served = served.clone();
                    async move { served.serve().await }
                }));
                let connection = async |mut service: tower::util::BoxCloneService<_, _, _>| {
                    for _ in 0..500 {
                        service.call(()).await.unwrap();
                    }
                };
                let connections = [(); 3]
                    .map(|()| connection(tower::util::BoxCloneService::new(service.clone())));
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(futures_util::future::join_all(connections));
            });
        }
        meanwhile();
    });
    assert_eq!((permits.in_use(), served.now.load(SeqCst)), (0, 0));
    served.most.load(SeqCst)
}

#[test]
fn one_permit_serves_eight_threads_one_call_at_a_time() {
    assert_eq!(serve_on_eight_threads(&Arc::new(Semaphore::new(1)), || {}), 1);
}

#[test]
fn a_limit_that_changes_all_the_time_is_never_exceeded() {
    let permits = Arc::new(Semaphore::new(2));
    let most = serve_on_eight_threads(&permits, || {
        for limit in (0..300).map(|at| [5, 0, 3, 1][at % 4]) {
            permits.set_limit(limit);
            assert!(permits.in_use() <= 5);
            thread::yield_now();
        }
        permits.set_limit(4);
    });
    assert!(most <= 5, "{most} calls at a time");
    assert_eq!(permits.limit(), 4);
}
