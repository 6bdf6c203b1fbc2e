use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::FramedTransport;
use crate::macros::service_accessors;

/// Frames a connection: wraps its stream in a [`FramedTransport`] and passes that on to the inner service.
///
/// Made by [`FramingLayer`], which has an example.
#[derive(Debug)]
pub struct FramingService<S, Codec, Config = usize> {
    inner: S,
    codec: fn(Config) -> Codec,
    config: Config,
}

// Derived, this would ask for a codec that can be cloned.
impl<S: Clone, Codec, Config: Clone> Clone for FramingService<S, Codec, Config> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), codec: self.codec, config: self.config.clone() }
    }
}

impl<S, Codec, Config> FramingService<S, Codec, Config> {
    /// Frames each connection of `inner` with a codec that `codec` makes of `config`.
    pub const fn new(inner: S, codec: fn(Config) -> Codec, config: Config) -> Self {
        Self { inner, codec, config }
    }

    service_accessors!();
}

impl<S, Io, Codec, Config> Service<Io> for FramingService<S, Codec, Config>
where
    S: Service<FramedTransport<Io, Codec>>,
    Config: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, io: Io) -> S::Future {
        self.inner.call(FramedTransport::new(io, (self.codec)(self.config.clone())))
    }
}

/// Layer for [`FramingService`].
///
/// *Goes*: above [`MeterLayer`](crate::MeterLayer), below everything that handles lines.
///
/// ```
/// use tower::{Service, ServiceBuilder};
/// use towline_middleware::{
///     Echo, FramingLayer, LinesBatchCodec, serve::Serve, stats::CloseReason,
/// };
/// # use tokio::io::AsyncWriteExt;
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let mut connections = ServiceBuilder::new()
///     .layer(FramingLayer::new(LinesBatchCodec::new, 4))
///     .service(Serve::new(Echo));
/// let (mut client, server) = tokio::io::duplex(64);
/// client.write_all(b"too long\n").await.unwrap();
/// client.shutdown().await.unwrap();
/// assert_eq!(connections.call(server).await.unwrap(), CloseReason::LineTooLong);
/// # }
/// ```
#[derive(Debug)]
pub struct FramingLayer<Codec, Config = usize> {
    codec: fn(Config) -> Codec,
    config: Config,
}

impl<Codec, Config: Clone> Clone for FramingLayer<Codec, Config> {
    fn clone(&self) -> Self {
        Self { codec: self.codec, config: self.config.clone() }
    }
}

impl<Codec, Config> FramingLayer<Codec, Config> {
    /// Frames each connection with a codec that `codec` makes of `config`:
    /// [`LinesBatchCodec::new`](crate::LinesBatchCodec::new) with the longest line in bytes, or
    /// [`LinesBatchCodec::shared`](crate::LinesBatchCodec::shared) with limits that may change; for another
    /// protocol the same of [`BatchCodec`](crate::BatchCodec).
    pub const fn new(codec: fn(Config) -> Codec, config: Config) -> Self {
        Self { codec, config }
    }
}

impl<S, Codec, Config: Clone> Layer<S> for FramingLayer<Codec, Config> {
    type Service = FramingService<S, Codec, Config>;

    fn layer(&self, inner: S) -> Self::Service {
        FramingService::new(inner, self.codec, self.config.clone())
    }
}
