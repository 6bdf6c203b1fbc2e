//! The layer that makes lines of bytes.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::FramedTransport;

/// Frames the connection and passes a [`FramedTransport`] on.
#[derive(Debug, Clone)]
pub struct FramingService<S, Codec, Config = usize> {
    inner: S,
    codec: fn(Config) -> Codec,
    config: Config,
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

/// Makes a [`FramingService`]. Goes above the meter and below everything that speaks lines.
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
    /// Frames each connection with a codec of its own, such as
    /// [`LinesBatchCodec::new`](crate::LinesBatchCodec::new), made for lines of at most so many
    /// bytes, or [`LinesBatchCodec::shared`](crate::LinesBatchCodec::shared) with config that may
    /// change.
    pub const fn new(codec: fn(Config) -> Codec, config: Config) -> Self {
        Self { codec, config }
    }
}

impl<S, Codec, Config: Clone> Layer<S> for FramingLayer<Codec, Config> {
    type Service = FramingService<S, Codec, Config>;

    fn layer(&self, inner: S) -> Self::Service {
        FramingService { inner, codec: self.codec, config: self.config.clone() }
    }
}
