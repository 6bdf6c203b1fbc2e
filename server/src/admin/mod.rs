//! The admin endpoint: metrics, health and configuration over HTTP/1.1, on a thread of its own.
//!
//! Everything about it is bounded: connections, the size and time of a request's head, the time of
//! the whole exchange. GET and HEAD only; nothing a client sends becomes a label or a log field.

mod routes;

use std::{
    io,
    net::{SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{sync::Semaphore, time};

use crate::{RunError, exporter::Exporter, listen, shared::Shared};

/// Most clients at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 128;

/// A request's head must be complete by then.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);

/// A request must be answered, and the answer taken, by then.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest head of a request; the least that hyper allows.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// Pause after an error of accept, so that a lack of descriptors does not spin.
const BACK_OFF: Duration = Duration::from_millis(50);

/// A bound admin socket.
#[derive(Debug)]
pub(crate) struct Socket {
    listener: TcpListener,
    address: SocketAddr,
}

impl Socket {
    pub(crate) fn bind(address: SocketAddr) -> Result<Self, RunError> {
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

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What every request may look at.
#[derive(Debug)]
struct Context {
    shared: Arc<Shared>,
    exporter: Exporter,
}

/// Answers for ever.
pub(crate) async fn serve(socket: Socket, shared: Arc<Shared>) {
    let listener = match tokio::net::TcpListener::from_std(socket.listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "admin endpoint cannot be served");
            return;
        }
    };
    let context = Arc::new(Context { exporter: Exporter::new(shared.clone()), shared });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // The place first, as for lines: a client that finds none waits in the kernel's queue.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "admin connection not accepted");
                time::sleep(BACK_OFF).await;
                continue;
            }
        };
        let context = context.clone();
        tokio::spawn(async move {
            let answer = service_fn(move |request| {
                let context = context.clone();
                async move { routes::answer(&context, &request) }
            });
            let exchange = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES_MAX)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            // Errors here are a client's: garbage, a reset, too slow. hyper answers what it can.
            let _ = time::timeout(EXCHANGE_TIMEOUT, exchange).await;
            drop(place);
        });
    }
}
