//! The admin endpoint: metrics, health and configuration over HTTP/1.1, on a thread of its own.
//!
//! Its costs are bounded: the number of clients, the size and time of a request's head, the time of the
//! whole exchange, how often the metrics are rendered. Besides GET and HEAD it answers POST, by which
//! commands come, on the UNIX socket, and on the TCP port with a token. Nothing that a client sends becomes a
//! label.
//!
//! | file | holds |
//! |---|---|
//! | `routes.rs` | the paths and their answers |
//! | `page.rs` | the `/metrics` page, shared among requests |
//! | `connections_page.rs` | lists of connections, one at a time |
//! | `attribution.rs` | why replies wait, asked once a second |
//! | `throttle.rs` | the CPU that the thread may take from others |
//! | `format.rs` | the choice between Prometheus' text format and OpenMetrics |
//! | `clients.rs` | the table of clients, and eviction |
//! | `sockets.rs`, `access.rs`, `token.rs` | the sockets; which client may do what |
//! | `commands.rs` | commands, which `control/` executes |
//! | `source.rs` | what the endpoint reports on: one process, or several |
//! | `live/` | the live page |

mod access;
mod attribution;
mod clients;
mod commands;
mod connections_page;
mod format;
mod page;
mod routes;
mod single_process;
mod sockets;
mod source;
mod throttle;
mod token;

use std::{
    future::{Future, poll_fn},
    io,
    sync::{Arc, MutexGuard, PoisonError},
    task, thread,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::yield_now,
    time,
};

use self::{
    access::Access,
    attribution::run_attribution,
    clients::{AdminClients, RequestSeen},
    connections_page::ConnectionsPage,
    page::PageRenderer,
    sockets::AdminListener,
    throttle::CpuThrottle,
    token::Token,
};
pub use self::{sockets::Sockets, source::StatusSource};
pub(crate) use crate::exporter::UserMetrics;
use crate::{
    RunError,
    accept::{ReserveFd, lacks_descriptors},
    exporter::Exporter,
    shard::threads,
};

/// Time in which the head of a request must be complete.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// Time in which a request must be answered and the answer be read.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request: the smallest value that hyper allows.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Nice value of the thread. On a core that shards fill it gets a tenth of what they get. At the
/// lowest priority, 19, a scrape of a server that filled its only core took three to five seconds.
const NICE: i32 = 10;

/// Pause after an error of accept(2), so that an error that lasts does not make the thread spin.
const BACK_OFF: Duration = Duration::from_millis(50);

/// What the requests share.
#[derive(Debug)]
struct Context<S> {
    source: S,
    metrics: PageRenderer,
    connections: ConnectionsPage,
    token: Option<Token>,
}

impl<S: StatusSource> Context<S> {
    /// While the guard is held, the acceptor of line connections takes no descriptor.
    fn hold_accept(&self) -> MutexGuard<'_, ()> {
        self.source.state().accept.accept_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the endpoint on a thread of its own, of low priority. It answers until `stop` completes.
///
/// # Errors
/// When the thread cannot be started.
pub fn start(
    sockets: Sockets,
    source: impl StatusSource,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    let throttle = Arc::new(CpuThrottle::default());
    let before_park = throttle.clone();
    threads::run_with_hook("admin", move || before_park.pause(), async move {
        tokio::select! {
            () = serve(sockets, source, &throttle) => {}
            () = stop => {}
        }
    })
}

async fn serve(sockets: Sockets, source: impl StatusSource, throttle: &CpuThrottle) {
    // Linux has a nice value for each thread. If it cannot be set, the default serves as well.
    let _ = rustix::process::nice(NICE);
    let Sockets { port, socket, token, file: _file, .. } = sockets;
    let metrics = PageRenderer::new(Exporter::new(source.state().ports()));
    let connections = ConnectionsPage::of_ports(source.state().ports());
    let context = Arc::new(Context { source, metrics, connections, token });
    let attributed = context.clone();
    tokio::spawn(async move { run_attribution(&attributed.source).await });
    let port = port.map(tokio::net::TcpListener::from_std);
    let socket = socket.map(tokio::net::UnixListener::from_std);
    tokio::join!(
        accept(port, context.clone(), throttle),
        // With a table of clients of its own: those of the port cannot keep an operator out.
        accept(socket, context, throttle)
    );
}

/// Serves the clients of one socket; returns at once if there is none.
async fn accept(
    listener: Option<io::Result<impl AdminListener>>,
    context: Arc<Context<impl StatusSource>>,
    throttle: &CpuThrottle,
) {
    let listener = match listener {
        Some(Ok(listener)) => listener,
        Some(Err(error)) => {
            tracing::error!(%error, "admin endpoint cannot be served");
            return;
        }
        None => return,
    };
    let mut clients = AdminClients::default();
    let mut reserve = ReserveFd::default();
    loop {
        reserve.acquire();
        // Also here: while clients come faster than they are served, the thread never parks.
        throttle.pause();
        let mut accepted = poll_fn(|cx| listener.poll_accept(cx)).await;
        let on_spare = accepted.as_ref().is_err_and(lacks_descriptors) && reserve.is_held();
        if on_spare {
            let swap = |cx: &mut task::Context<'_>| {
                let _held = context.hold_accept();
                reserve.release();
                task::Poll::Ready(listener.poll_accept(cx))
            };
            accepted = match poll_fn(swap).await {
                task::Poll::Ready(accepted) => accepted,
                // The client that waited has left.
                task::Poll::Pending => continue,
            };
        }
        let (stream, access) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "admin connection not accepted");
                time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let request_seen = RequestSeen::default();
        let exchange = exchange(stream, access, context.clone(), request_seen.clone());
        if on_spare {
            // One client at a time, until there are descriptors again.
            let mut exchange = Box::pin(exchange);
            let _ = time::timeout(EXCHANGE_TIMEOUT, exchange.as_mut()).await;
            let _held = context.hold_accept();
            drop(exchange);
            reserve.acquire();
        } else {
            clients.free_slot().await;
            clients.add(request_seen, async move {
                let _ = time::timeout(EXCHANGE_TIMEOUT, exchange).await;
            });
            // Connected clients run before the next one is accepted.
            yield_now().await;
        }
    }
}

/// Reads one request and answers it. The connection is open until the returned future is dropped.
///
/// Its errors are the client's: garbage, a reset, a timeout. hyper answers them where it can.
fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    access: Access,
    context: Arc<Context<impl StatusSource>>,
    request_seen: RequestSeen,
) -> impl Future<Output = hyper::Result<()>> + Send {
    let answer = service_fn(move |request| {
        request_seen.set();
        let context = context.clone();
        async move { routes::answer(&context, access, request).await }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
}
