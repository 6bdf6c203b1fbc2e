//! The line stack made of Tower's own layers, in a runtime of the program's own.
//!
//! ```text
//! $ cargo run -p towline --example stock_tower &
//! $ printf 'one\nslow\n' | nc -q6 127.0.0.1 9000
//! ERR timeout
//! ERR timeout
//! $ printf 'one\ntwo\n' | nc -q1 127.0.0.1 9000
//! one
//! two
//! ```
//!
//! `Server` puts a `Timeout` and a `ConcurrencyLimit` of its own around a service, which can change while
//! connections are open and cost less a line. Tower's do the same work, as long as `ReadyPerCall` stands
//! outside the limit: a permit is then acquired with a batch to serve, so an idle connection holds none,
//! and the timeout covers the wait for it.
//!
//! A batch is the unit of service, so the slow line's timeout answers the line before it as well.

use std::{env, io, sync::Arc, time::Duration};

use tokio::{net::TcpListener, time::Instant};
use tower::{
    Service, ServiceBuilder, limit::ConcurrencyLimitLayer, service_fn, timeout::TimeoutLayer,
};
use towline_middleware::{
    BoxError, ErrorReplyLayer, FramingLayer, Lines, LinesBatchCodec, MeterLayer, ObserveLayer,
    ReadyPerCallLayer,
    heartbeat::{Deadlines, HeartbeatLayer},
    serve::Serve,
    stats::Stats,
};

fn main() -> io::Result<()> {
    let address = env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stats = Arc::new(Stats::new(Instant::now()));
        let lines = line_stack(&stats, 4096, Duration::from_secs(5), service_fn(echo));
        serve(TcpListener::bind(address).await?, &stats, lines).await
    })
}

/// Gives lines back, and never finishes a batch with a line `slow`.
///
/// # Errors
/// Never.
pub async fn echo(lines: Lines) -> Result<Lines, BoxError> {
    if lines.iter().any(|line| line == b"slow") {
        std::future::pending::<()>().await;
    }
    Ok(lines)
}

/// The line stack, outside in: the order in which a batch travels.
pub fn line_stack<S>(
    stats: &Arc<Stats>,
    concurrency: usize,
    timeout: Duration,
    service: S,
) -> impl Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send + use<S>
where
    S: Service<Lines, Response = Lines, Error = BoxError, Future: Send> + Clone + Send,
{
    ServiceBuilder::new()
        .layer(ErrorReplyLayer::new())
        .layer(ObserveLayer::new(stats.clone()))
        .layer(TimeoutLayer::new(timeout))
        .layer(ReadyPerCallLayer::new())
        .layer(ConcurrencyLimitLayer::new(concurrency))
        .service(service)
}

/// Serves every connection of `listener` with a clone of `lines`.
///
/// # Errors
/// When the listener fails.
pub async fn serve<S>(listener: TcpListener, stats: &Arc<Stats>, lines: S) -> io::Result<()>
where
    S: Service<Lines, Response = Lines, Error: Into<BoxError>, Future: Send>
        + Clone
        + Send
        + 'static,
{
    let deadlines = Deadlines::new().line(Some(Duration::from_secs(30)));
    let mut connections = ServiceBuilder::new()
        .layer(MeterLayer::new(stats.clone()))
        .layer(FramingLayer::new(LinesBatchCodec::new, 64 * 1024))
        .layer(HeartbeatLayer::new(deadlines, stats.clone()))
        .service(Serve::new(lines).stats(stats.clone()));
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(connections.call(socket));
    }
}
