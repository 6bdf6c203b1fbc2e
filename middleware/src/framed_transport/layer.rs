//! The layer that makes lines of bytes.

use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;

use super::Transport;

/// Frames the connection and passes a [`Transport`] on.
#[derive(Debug, Clone)]
pub struct Framing<S, Codec, Limits = usize> {
    inner: S,
    codec: fn(Limits) -> Codec,
    limits: Limits,
}

impl<S, Io, Codec, Limits> Service<Io> for Framing<S, Codec, Limits>
where
    S: Service<Transport<Io, Codec>>,
    Limits: Clone,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, io: Io) -> S::Future {
        self.inner.call(Transport::new(io, (self.codec)(self.limits.clone())))
    }
}

/// Makes a [`Framing`]. Goes above the meter and below everything that speaks lines.
#[derive(Debug)]
pub struct FramingLayer<Codec, Limits = usize> {
    codec: fn(Limits) -> Codec,
    limits: Limits,
}

impl<Codec, Limits: Clone> Clone for FramingLayer<Codec, Limits> {
    fn clone(&self) -> Self {
        Self { codec: self.codec, limits: self.limits.clone() }
    }
}

impl<Codec, Limits> FramingLayer<Codec, Limits> {
    /// Frames each connection with a codec of its own, such as
    /// [`LinesBatchCodec::new`](crate::LinesBatchCodec::new), made for lines of at most so many
    /// bytes, or [`LinesBatchCodec::shared`](crate::LinesBatchCodec::shared) with limits that may
    /// change.
    pub const fn new(codec: fn(Limits) -> Codec, limits: Limits) -> Self {
        Self { codec, limits }
    }
}

impl<S, Codec, Limits: Clone> Layer<S> for FramingLayer<Codec, Limits> {
    type Service = Framing<S, Codec, Limits>;

    fn layer(&self, inner: S) -> Self::Service {
        Framing { inner, codec: self.codec, limits: self.limits.clone() }
    }
}
