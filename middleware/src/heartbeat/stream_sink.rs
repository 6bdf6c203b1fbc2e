//! The transport as a plain `Stream + Sink`, for a loop other than [`Serve`](crate::serve::Serve).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_sink::Sink;

use super::HeartbeatTransport;
use crate::{
    Batch, LineError, Transport,
    drain::{WakeEntry, WakerIdentity, WakerKey, Watch},
    fairness,
    transport::{Parked, Phase},
};

impl<T: Transport> Stream for HeartbeatTransport<T> {
    type Item = Result<Batch<T::Protocol>, LineError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Poll::Ready(next) = self.as_mut().poll_batch(cx) {
            return Poll::Ready(next);
        }
        if self.as_mut().take_paused() {
            fairness::defer_wake(cx);
        }
        // A ping that could not be written is here.
        if self.unsent_bytes() > 0
            && let Poll::Ready(Err(error)) = self.as_mut().poll_flush(cx)
        {
            return Poll::Ready(Some(Err(error)));
        }
        let mut buffered = self.as_mut().park();
        let now = self.supervision.stats.now();
        // Checked at every poll, which may be that of another task, with a timer of its own.
        let parked = Parked { now, phase: Phase::Reading, same_task: false };
        let (watch, mut key, mut registered) =
            (Watch::never(), WakerKey::NONE, WakerIdentity::NONE);
        let mut wake = WakeEntry { watch: &watch, key: &mut key, registered: &mut registered };
        self.poll_expired(cx, parked, &mut wake, &mut buffered)
            .map(|expired| Some(Err(io::Error::new(io::ErrorKind::TimedOut, expired).into())))
    }
}

impl<T: Transport> Sink<Batch<T::Protocol>> for HeartbeatTransport<T> {
    type Error = LineError;

    #[inline]
    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.project().inner.poll_ready(cx)
    }

    #[inline]
    fn start_send(self: Pin<&mut Self>, batch: Batch<T::Protocol>) -> Result<(), LineError> {
        self.project().inner.start_send(batch)
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), LineError>> {
        self.project().inner.poll_close(cx)
    }
}
