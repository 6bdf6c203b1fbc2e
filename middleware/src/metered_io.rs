//! Bytes in and out, counted where they pass.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_layer::Layer;
use tower_service::Service;

use crate::{macros::service_accessors, stats::Stats};

/// A byte stream whose traffic is counted in a [`Stats`].
///
/// *Does*: counts the bytes that reads returned and writes accepted. *Does not*: measure waits. They are
/// measured where the task parks, in [`Serve`](crate::serve::Serve), because there alone both directions
/// and an unfinished line are known, at the price of one clock read a park. *Goes*: at the bottom, around
/// the socket. *Costs*: one relaxed add a system call.
#[derive(Debug)]
pub struct MeteredIo<Io> {
    io: Io,
    stats: Arc<Stats>,
}

impl<Io> MeteredIo<Io> {
    /// Counts the traffic of `io` in `stats`.
    pub const fn new(io: Io, stats: Arc<Stats>) -> Self {
        Self { io, stats }
    }

    /// The stream inside.
    pub const fn get_ref(&self) -> &Io {
        &self.io
    }

    /// The stream inside. Its traffic is not counted.
    pub const fn get_mut(&mut self) -> &mut Io {
        &mut self.io
    }

    /// Stops counting and returns the stream inside.
    pub fn into_inner(self) -> Io {
        self.io
    }
}

#[warn(clippy::missing_trait_methods)]
impl<Io: AsyncRead + Unpin> AsyncRead for MeteredIo<Io> {
    // Two kinds of read end here, so the compiler would not inline it, twice a line.
    #[inline(always)]
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.stats.read_bytes.add((buf.filled().len() - before) as u64);
        Poll::Ready(Ok(()))
    }
}

impl<Io> MeteredIo<Io> {
    #[inline]
    fn count_written(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n)) = result {
            self.stats.written_bytes.add(n as u64);
        }
        result
    }
}

#[warn(clippy::missing_trait_methods)]
impl<Io: AsyncWrite + Unpin> AsyncWrite for MeteredIo<Io> {
    // As `poll_read`.
    #[inline(always)]
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.count_written(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.count_written(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Counts a connection's traffic: wraps its stream in a [`MeteredIo`] and passes that on to the inner
/// service.
///
/// Made by [`MeterLayer`], which has an example.
#[derive(Debug, Clone)]
pub struct Meter<S> {
    inner: S,
    stats: Arc<Stats>,
}

impl<S> Meter<S> {
    /// Counts the traffic of the connections of `inner` in `stats`.
    pub const fn new(inner: S, stats: Arc<Stats>) -> Self {
        Self { inner, stats }
    }

    service_accessors!();
}

impl<S, Io> Service<Io> for Meter<S>
where
    S: Service<MeteredIo<Io>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, io: Io) -> S::Future {
        self.inner.call(MeteredIo::new(io, self.stats.clone()))
    }
}

/// Layer for [`Meter`].
///
/// *Goes*: outermost in the connection stack, directly around the socket.
///
/// ```
/// use std::sync::Arc;
/// use tokio::time::Instant;
/// use tower::{Service, ServiceBuilder};
/// use towline_middleware::{
///     Echo, FramingLayer, LinesBatchCodec, MeterLayer, serve::Serve, stats::Stats,
/// };
/// # use tokio::io::AsyncWriteExt;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let stats = Arc::new(Stats::new(Instant::now()));
/// let mut connections = ServiceBuilder::new()
///     .layer(MeterLayer::new(stats.clone()))
///     .layer(FramingLayer::new(LinesBatchCodec::new, 64 * 1024))
///     .service(Serve::new(Echo));
/// let (mut client, server) = tokio::io::duplex(64);
/// client.write_all(b"ping\n").await.unwrap();
/// client.shutdown().await.unwrap();
/// connections.call(server).await.unwrap();
/// assert_eq!((stats.read_bytes.get(), stats.written_bytes.get()), (5, 5));
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct MeterLayer {
    stats: Arc<Stats>,
}

impl MeterLayer {
    /// Counts in `stats`.
    pub const fn new(stats: Arc<Stats>) -> Self {
        Self { stats }
    }
}

impl<S> Layer<S> for MeterLayer {
    type Service = Meter<S>;

    fn layer(&self, inner: S) -> Meter<S> {
        Meter { inner, stats: self.stats.clone() }
    }
}
