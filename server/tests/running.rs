//! A server beside async code: started, run and shut down there.

#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

mod support;

use std::{future::Future, sync::Arc, time::Duration};

use support::echo_service;
use tokio::{runtime, time::timeout};
use towline::{BoxError, Builder, Lines, Outcome, Running, Server, service_fn};
use towline_test_support::{Client, http, wait_until};

fn builder() -> Builder {
    Server::builder().listen("127.0.0.1:0").threads(1)
}

fn start() -> Running {
    builder().serve(echo_service()).start().unwrap()
}

/// Runs a future in each kind of runtime: of many threads, of one, without I/O and time, and none.
fn in_every_runtime<F: Future<Output = ()> + Send + 'static>(future: impl Fn() -> F) {
    runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
        tokio::spawn(future()).await.unwrap();
    });
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future());
    runtime::Builder::new_current_thread().build().unwrap().block_on(future());
    futures_executor(future());
}

/// Polls a future to its end on this thread, with no runtime at all.
fn futures_executor(future: impl Future<Output = ()>) {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut cx = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    while future.as_mut().poll(&mut cx).is_pending() {
        std::thread::park();
    }
}

#[test]
fn shutdown_drains_in_any_runtime() {
    in_every_runtime(|| async {
        let running = start();
        let mut client = Client::connect(running.address().unwrap());
        client.ask("before\n", "before\n");
        drop(client);
        assert_eq!(running.shutdown().await, Outcome::Clean);
    });
}

/// Calls that block a thread of a runtime panicked: "Cannot start a runtime from within a runtime".
#[test]
fn blocking_calls_in_a_runtime_are_an_error_and_not_a_panic() {
    in_a_runtime(async {
        let error = builder().serve(echo_service()).run().unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert!(error.to_string().starts_with("Server::run blocks its thread"), "{error}");
        assert!(error.to_string().contains("Server::run_async().await"), "{error}");
        let error = start().drain().unwrap_err();
        assert!(error.to_string().contains("Running::shutdown().await"), "{error}");
    });
}

fn in_a_runtime(future: impl Future<Output = ()>) {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

/// A server that cannot start drops what it started so far, runtimes among it, which panics on a
/// thread that runs one.
#[test]
fn a_start_that_fails_in_a_runtime_is_an_error_and_not_a_panic() {
    in_a_runtime(async {
        let running = start();
        let taken = running.address().unwrap().to_string();
        let error = builder().admin(&taken).serve(echo_service()).start().unwrap_err();
        assert!(error.to_string().contains("in use"), "{error}");
    });
}

#[test]
fn dropping_a_shutdown_cuts_the_connections_that_are_left() {
    in_a_runtime(async {
        let service = service_fn(|_: Lines| std::future::pending::<Result<Lines, BoxError>>());
        let running = builder().admin("127.0.0.1:0").request_timeout(None).serve(service);
        let running = running.start().unwrap();
        let admin = running.admin_address().unwrap();
        let mut client = Client::connect(running.address().unwrap());
        client.send("never\n");
        while http::scrape(admin).get("towline_connections{state=\"service\"}") < 1.0 {
            tokio::task::yield_now().await;
        }
        assert!(timeout(Duration::from_millis(50), running.shutdown()).await.is_err());
        client.expect_end("");
    });
}

#[test]
fn dropping_a_run_cuts_every_connection() {
    in_a_runtime(async {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let run = builder().listener(listener).serve(echo_service()).run_async();
        let mut run = std::pin::pin!(run);
        assert!(timeout(Duration::from_millis(50), run.as_mut()).await.is_err());
        let mut client = Client::connect(address);
        client.ask("here\n", "here\n");
        run.set(builder().listen("nowhere").serve(echo_service()).run_async());
        client.expect_end("");
        assert!(run.await.unwrap_err().is_usage());
    });
}

#[test]
fn metrics_of_the_program_are_on_the_page() {
    let text = "# TYPE orders_total counter\norders_total 7\n";
    let running = builder()
        .admin("localhost:0")
        .metrics(move || text.to_owned())
        .serve(echo_service())
        .start()
        .unwrap();
    let page = http::get(running.admin_address().unwrap(), "/metrics").body;
    assert!(page.contains(text) && page.contains("towline_connections_active"), "{page}");
}

#[test]
fn a_running_server_knows_its_addresses_and_connections() {
    let running = start();
    assert_eq!(running.connections(), 0);
    assert_eq!(running.admin_address(), None);
    let address = running.address().unwrap();
    let mut client = Client::connect(address);
    client.ask("one\n", "one\n");
    assert_eq!(running.connections(), 1);
    drop(client);
    wait_until("the close", || running.connections() == 0);
}
