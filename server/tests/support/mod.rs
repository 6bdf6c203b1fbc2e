//! A server in this process.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod log;
pub(crate) mod shown;

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
};

use tower::Service;
use towline::{
    BoxError, Lines, Outcome, Peer, Running, Server, Settings, middleware::IntoResponse,
    protocol::Lf, service_fn,
};
use towline_test_support::{Client, Metrics, http::scrape, wait_for};

/// A server on ports of its own, ended with the test.
#[derive(Debug)]
pub(crate) struct TestServer {
    running: Running,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
}

/// Echoes on one thread, with `change` made to the defaults.
pub(crate) fn echo(change: impl FnOnce(&mut Settings)) -> TestServer {
    serve(echo_service(), change)
}

/// Echoes on one thread, at an address for lines other than `127.0.0.1`.
pub(crate) fn echo_on(listen: &str) -> TestServer {
    let mut settings = Settings::default();
    settings.server.threads = NonZeroU32::new(1);
    let server = Server::builder().settings(settings).listen(listen).admin("127.0.0.1:0");
    TestServer::new(server.serve(echo_service()).start().unwrap())
}

pub(crate) fn echo_service()
-> impl Service<Lines, Response = Lines, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) })
}

/// Serves every connection with a clone of `service`.
pub(crate) fn serve<S>(service: S, change: impl FnOnce(&mut Settings)) -> TestServer
where
    S: Service<Lines, Future: Send + 'static> + Clone + Send + 'static,
    S::Response: IntoResponse<Protocol = Lf>,
    S::Error: Into<BoxError>,
{
    serve_with(move |_peer| service.clone(), change)
}

/// Serves every connection with what `make` makes for its peer.
pub(crate) fn serve_with<M, S>(make: M, change: impl FnOnce(&mut Settings)) -> TestServer
where
    M: Fn(Peer) -> S + Clone + Send + 'static,
    S: Service<Lines, Future: Send + 'static> + Clone + Send + 'static,
    S::Response: IntoResponse<Protocol = Lf>,
    S::Error: Into<BoxError>,
{
    let mut settings = Settings::default();
    settings.server.threads = NonZeroU32::new(1);
    change(&mut settings);
    let running = Server::builder()
        .settings(settings)
        .listen("127.0.0.1:0")
        .admin("127.0.0.1:0")
        .raise_descriptor_limit(true)
        .serve_with(make)
        .start()
        .unwrap();
    TestServer::new(running)
}

impl TestServer {
    pub(crate) fn new(running: Running) -> Self {
        let (address, admin) = (running.address().unwrap(), running.admin_address().unwrap());
        Self { running, address, admin }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) fn connect_from(&self, source: Ipv4Addr) -> Client {
        Client::connect_from(source, self.address)
    }

    pub(crate) fn metrics(&self) -> Metrics {
        scrape(self.admin)
    }

    /// Waits until the metrics are as `expected`, and returns them.
    #[track_caller]
    pub(crate) fn metrics_when(&self, expected: impl Fn(&Metrics) -> bool) -> Metrics {
        wait_for("other metrics", || {
            let metrics = self.metrics();
            if expected(&metrics) { Ok(metrics) } else { Err(metrics) }
        })
    }

    /// Waits until no connection is open, and returns the metrics.
    #[track_caller]
    pub(crate) fn metrics_when_empty(&self) -> Metrics {
        self.metrics_when(|metrics| metrics.get("towline_connections_active") == 0.0)
    }

    pub(crate) fn drain(self) -> Outcome {
        self.running.drain().unwrap()
    }

    pub(crate) const fn running(&self) -> &Running {
        &self.running
    }
}
