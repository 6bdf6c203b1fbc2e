//! A server whose clients are in the test.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};

use super::{Client, client::Ending, memory::Memory, pipe::Pipe, tcp::Tcp};
use crate::{
    Outcome, Server,
    counts::Status,
    exporter::{CountsReader, Exporter},
    shard::PoolState,
};

/// A server whose clients are in the test: made of a [`Server`] by [`new`](Self::new) in memory, or by
/// [`over_tcp`](Self::over_tcp) with sockets. The same test runs on both.
///
/// *Does*, in memory: everything that a shard does for a connection, with the settings of the server, in
/// tasks of the test's runtime. *Does not*: accept, so no limit of addresses and rates holds, and at
/// `limits.connections` another client is a panic; shorten timeouts and shed because memory is short; notice
/// that the process was suspended. [`over_tcp`](Self::over_tcp) does.
///
/// Dropping it cuts the connections that are left.
pub struct Stage {
    venue: Venue,
    begun: Instant,
    end_of_line: &'static [u8],
    clients: AtomicU16,
    exporter: Mutex<Option<Exporter>>,
}

enum Venue {
    Memory(Memory),
    Tcp(Tcp),
}

/// The port of the first client, of those that the kernel would choose from.
const FIRST_PORT: u16 = 49_152;

impl Stage {
    /// Stages `server` in memory. Call it in a test with a paused clock, `#[tokio::test(start_paused = true)]`:
    /// time then passes when everything waits, up to the next deadline, so that none is waited for in vain.
    ///
    /// What runs on other threads, as `spawn_blocking` does not, is not waited for by a paused clock.
    ///
    /// # Panics
    /// When a setting of the server or a command of its router is wrong, and outside of a Tokio runtime.
    pub fn new(server: Server) -> Self {
        assert!(Handle::try_current().is_ok(), "a stage is made in a runtime: in a #[tokio::test]");
        match Memory::new(server) {
            Ok((memory, end_of_line)) => Self::of(Venue::Memory(memory), end_of_line),
            Err(error) => panic!("the server cannot be staged: {error}"),
        }
    }

    /// Starts `server` with its threads, on a free port of `127.0.0.1` in the place of the address that it
    /// listens on, for clients with real sockets. Time is real here: in a test whose clock is paused, each
    /// wait would be over before the kernel has done its part.
    ///
    /// # Panics
    /// When the server cannot be started.
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use towline::{Lines, Outcome, Server, service_fn, test::Stage};
    ///
    /// fn server() -> Server {
    ///     Server::builder().threads(1).serve(service_fn(|lines: Lines| async move { Ok::<_, Infallible>(lines) }))
    /// }
    ///
    /// async fn it_echoes(stage: Stage) {
    ///     let mut client = stage.connect().await;
    ///     client.send("hello");
    ///     client.expect("hello").await;
    ///     drop(client);
    ///     assert_eq!(stage.drain().await, Outcome::Clean);
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// it_echoes(Stage::over_tcp(server())).await;
    /// # }
    /// ```
    pub fn over_tcp(server: Server) -> Self {
        match Tcp::new(server) {
            Ok((tcp, end_of_line)) => Self::of(Venue::Tcp(tcp), end_of_line),
            Err(error) => panic!("the server cannot be started: {error}"),
        }
    }

    fn of(venue: Venue, end_of_line: &'static [u8]) -> Self {
        let (begun, clients) = (Instant::now(), AtomicU16::new(0));
        Self { venue, begun, end_of_line, clients, exporter: Mutex::default() }
    }

    /// Connects a client, from `127.0.0.1` and a port of its own.
    pub async fn connect(&self) -> Client {
        let port = FIRST_PORT + self.clients.fetch_add(1, Relaxed) % (u16::MAX - FIRST_PORT);
        let any_port = matches!(self.venue, Venue::Tcp(_));
        self.connect_as(([127, 0, 0, 1], if any_port { 0 } else { port }).into()).await
    }

    /// Connects a client from `address`, which the program sees as that of its peer. Over TCP it must be one
    /// of this host's.
    ///
    /// # Panics
    /// In memory at `limits.connections`; over TCP when it cannot connect.
    pub async fn connect_as(&self, address: SocketAddr) -> Client {
        let pipe = Pipe::new(self.begun);
        let ending = match &self.venue {
            Venue::Memory(memory) => Ending::Reported(memory.serve(&pipe, address)),
            Venue::Tcp(tcp) => Ending::Counted(tcp.connect(&pipe, address).await),
        };
        Client::new(pipe, self.end_of_line, ending)
    }

    /// Lets time pass: the server and its clients run meanwhile, and deadlines come one after another.
    ///
    /// A millisecond is enough for everything that can run to have run.
    pub async fn advance(&self, time: Duration) {
        sleep(time).await;
    }

    /// Drains, as a signal makes a server do: connections finish what they have read, and are cut at
    /// `timeouts.drain`. Clients that should see it run beside it, or look afterwards. A drained stage serves
    /// no further client.
    ///
    /// # Panics
    /// Over TCP when it is called again.
    pub async fn drain(&self) -> Outcome {
        match &self.venue {
            Venue::Memory(memory) => memory.drain().await,
            Venue::Tcp(tcp) => tcp.drain().await,
        }
    }

    /// What `/metrics` would say now, in Prometheus' text format.
    pub fn metrics(&self) -> String {
        let pool = self.pool();
        let status = Status {
            effective: pool.config.borrow().effective.clone(),
            last_reload_ok: true,
            tls: None,
            connections_limit: pool.slots.limit() as u64,
            draining: false,
            write_wait_nanos: [0; 4],
            listeners: Vec::new(),
        };
        let snapshot = CountsReader::new(pool.clone()).read();
        let mut exporter = self.exporter.lock().unwrap_or_else(PoisonError::into_inner);
        exporter.get_or_insert_with(|| Exporter::new(Vec::new())).render(&status, &snapshot)
    }

    /// The value of a metric now, by its name and labels as `/metrics` has them:
    /// `towline_connections_closed_total{reason="peer_eof"}`.
    ///
    /// # Panics
    /// When there is no such metric; the message has those of that name.
    #[track_caller]
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.metrics();
        let found = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        if let Some(value) = found.and_then(|value| value.parse().ok()) {
            return value;
        }
        let name = series.split('{').next().unwrap_or_default();
        let same: Vec<_> = page.lines().filter(|line| line.starts_with(name)).collect();
        panic!("no metric {series}; of this name there are:\n{}", same.join("\n"));
    }

    /// What the connections share.
    pub(super) fn pool(&self) -> &Arc<PoolState> {
        match &self.venue {
            Venue::Memory(memory) => &memory.pool,
            Venue::Tcp(tcp) => tcp.pool(),
        }
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let venue = match &self.venue {
            Venue::Memory(_) => "memory",
            Venue::Tcp(_) => "tcp",
        };
        f.debug_struct("Stage").field("venue", &venue).finish_non_exhaustive()
    }
}
