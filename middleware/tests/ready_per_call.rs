//! Readiness that is polled with a request in hand.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok, task};
use tower::{
    ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer, load_shed::LoadShedLayer,
};
use tower_service::Service;
use tower_test::mock;
use towline_middleware::{Echo, Lines, ReadyPerCallLayer};

fn lines(lines: &'static str) -> Lines {
    Lines::new(lines).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_inner_service_is_made_ready_by_the_call() {
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(ReadyPerCallLayer::new());
    handle.allow(0);
    // The outer service is ready although the inner one is not.
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
async fn fault_24_an_inner_service_that_fails_to_get_ready_fails_the_call() {
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(ReadyPerCallLayer::new());
    handle.allow(0);
    assert_ready_ok!(service.poll_ready());
    let mut waiting = task::spawn(service.call(lines("a\n")));
    assert_pending!(waiting.poll());
    handle.send_error("broken");
    assert_eq!(assert_ready_err!(waiting.poll()).to_string(), "broken");

    // The same if it failed before the call.
    let (mut service, mut handle) = mock::spawn_layer::<Lines, Lines, _>(ReadyPerCallLayer::new());
    handle.send_error("broken");
    assert_ready_ok!(service.poll_ready());
    let mut call = task::spawn(service.call(lines("a\n")));
    assert_eq!(assert_ready_err!(call.poll()).to_string(), "broken");
}

/// Tower's `LoadShed` is ready while the limit inside has queued for a permit. The permit would go to
/// that place in the queue although no call waits there.
#[tokio::test(start_paused = true)]
async fn a_line_that_towers_own_layers_shed_leaves_no_waiter_behind() {
    let permits = Arc::new(Semaphore::new(0));
    let mut service = ServiceBuilder::new()
        .layer(ReadyPerCallLayer::new())
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()))
        .service(Echo);
    let error = service.ready().await.unwrap().call(lines("a\n")).await.unwrap_err();
    assert!(error.is::<tower::load_shed::error::Overloaded>());
    permits.add_permits(1);
    assert_eq!(permits.available_permits(), 1, "a waiter would have taken it");
}
