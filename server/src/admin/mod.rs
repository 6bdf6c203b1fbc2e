//! The admin endpoint: metrics, health and configuration over HTTP/1.1, on a thread of its own.
//!
//! Everything about it is bounded: connections, the size and time of a request's head, the time of
//! the whole exchange. GET and HEAD only; nothing a client sends becomes a label or a log field.

mod clients;
mod format;
mod routes;
mod single_process;
mod source;
mod throttle;

use std::{
    future::{Future, poll_fn},
    io,
    net::{SocketAddr, TcpListener},
    sync::{Arc, MutexGuard, PoisonError},
    task, thread,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpStream, sync::Mutex, task::yield_now, time};

pub use self::source::StatusSource;
use self::{
    clients::{AdminClients, RequestSeen},
    throttle::CpuThrottle,
};
pub(crate) use crate::exporter::UserMetrics;
use crate::{
    RunError,
    accept::{ReserveFd, lacks_descriptors, listen},
    exporter::Exporter,
    shard::threads,
};

/// A request's head must be complete by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// A request must be answered, and the answer taken, by then.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request; the least that hyper allows.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What the thread lets go first, as nice(1) counts: where others fill the processor it gets a tenth
/// of what they do. [`CpuThrottle`] sees to it that it does so seldom. With the least there is, a scrape of a
/// server that filled its only core took three to five seconds.
const NICE: i32 = 10;

/// Pause after an error of accept, so that one that lasts does not spin.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A bound admin socket.
#[derive(Debug)]
pub struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

impl Socket {
    pub fn bind(address: SocketAddr) -> Result<Self, RunError> {
        let bind = || {
            let listener = TcpListener::bind(address)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        };
        bind().map_err(|error: io::Error| {
            listen::describe("server.admin", &address.to_string(), &error)
        })
    }

    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What every request may look at.
#[derive(Debug)]
struct Context<S> {
    source: S,
    /// One scrape at a time, so that each sees numbers at least as new as the one before.
    exporter: Mutex<Exporter>,
}

impl<S: StatusSource> Context<S> {
    /// While this is held no line connection takes a descriptor.
    fn hold_accept(&self) -> MutexGuard<'_, ()> {
        self.source.state().accept.accept_lock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn metrics(&self) -> String {
        let mut exporter = self.exporter.lock().await;
        let snapshot = self.source.snapshot().await;
        let mut page = exporter.render(&self.source.state().status(), &snapshot);
        if let Some(user_metrics) = self.source.user_metrics() {
            user_metrics.append_to(&mut page);
        }
        page
    }
}

/// Answers until it is over, on a thread of its own that yields to all others.
pub fn start(
    socket: Socket,
    source: impl StatusSource,
    over: impl Future<Output = ()> + Send + 'static,
) -> Result<thread::JoinHandle<()>, RunError> {
    let throttle = Arc::new(CpuThrottle::default());
    let before_waiting = throttle.clone();
    threads::run_and_rest("admin", move || before_waiting.rest(), async move {
        tokio::select! {
            () = serve(socket, source, &throttle) => {}
            () = over => {}
        }
    })
}

async fn serve(socket: Socket, source: impl StatusSource, throttle: &CpuThrottle) {
    // Linux keeps it for each thread. Without it only the order of service is worse.
    let _ = rustix::process::nice(NICE);
    let listener = match tokio::net::TcpListener::from_std(socket.listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "admin endpoint cannot be served");
            return;
        }
    };
    let exporter = Mutex::new(Exporter::new(source.state().port));
    let context = Arc::new(Context { source, exporter });
    let mut clients = AdminClients::default();
    let mut reserve = ReserveFd::default();
    loop {
        reserve.acquire();
        // Also here: while clients come faster than they are served, the thread never waits.
        throttle.rest();
        let mut accepted = listener.accept().await;
        let on_spare = accepted.as_ref().is_err_and(lacks_descriptors) && reserve.is_held();
        if on_spare {
            let swap = |cx: &mut task::Context<'_>| {
                let _held = context.hold_accept();
                reserve.release();
                task::Poll::Ready(listener.poll_accept(cx))
            };
            accepted = match poll_fn(swap).await {
                task::Poll::Ready(accepted) => accepted,
                // The client that waited is gone.
                task::Poll::Pending => continue,
            };
        }
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "admin connection not accepted");
                time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let request_seen = RequestSeen::default();
        let exchange = exchange(stream, context.clone(), request_seen.clone());
        if on_spare {
            // One at a time, until there are descriptors again.
            let mut exchange = Box::pin(exchange);
            let _ = time::timeout(EXCHANGE_TIMEOUT, exchange.as_mut()).await;
            let _held = context.hold_accept();
            drop(exchange);
            reserve.acquire();
        } else {
            clients.room().await;
            clients.enter(request_seen, async move {
                let _ = time::timeout(EXCHANGE_TIMEOUT, exchange).await;
            });
            // Those who came get their turn before the next.
            yield_now().await;
        }
    }
}

/// One request and its answer. The connection is open until this is dropped.
///
/// Errors are a client's: garbage, a reset, too slow. hyper answers what it can.
fn exchange(
    stream: TcpStream,
    context: Arc<Context<impl StatusSource>>,
    request_seen: RequestSeen,
) -> impl Future<Output = hyper::Result<()>> + Send {
    let answer = service_fn(move |request| {
        request_seen.note();
        let context = context.clone();
        async move { routes::answer(&context, &request).await }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), answer)
}
