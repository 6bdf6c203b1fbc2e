//! The place of a call, used for one line after another.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

pin_project! {
    /// A call that waits for readiness or runs, or no call. As Tower's `Oneshot`, in memory that is reused.
    #[project = SlotProj]
    pub(super) enum Slot<S, Request, F> {
        Free,
        NotReady { service: S, request: Option<Request> },
        Called { #[pin] future: F },
    }
}

impl<S: Service<Request>, Request> Slot<S, Request, S::Future> {
    /// Calls `service`, and polls the call for the first time.
    #[inline]
    pub(super) fn call(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut service: S,
        request: Request,
    ) -> Poll<Result<S::Response, S::Error>> {
        match service.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                self.set(Self::Called { future: service.call(request) });
                self.poll_call(cx)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.set(Self::NotReady { service, request: Some(request) });
                Poll::Pending
            }
        }
    }

    /// Whether a call is under way.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self, Self::Free)
    }

    /// Polls the call that is under way. The slot is free behind it: what the call held is dropped before the
    /// next one begins.
    #[inline]
    pub(super) fn poll_call(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<S::Response, S::Error>> {
        let result = loop {
            match self.as_mut().project() {
                SlotProj::Called { future } => break ready!(future.poll(cx)),
                SlotProj::NotReady { service, request } => match ready!(service.poll_ready(cx)) {
                    Ok(()) => {
                        let Some(request) = request.take() else { return Poll::Pending };
                        let future = service.call(request);
                        self.set(Self::Called { future });
                    }
                    Err(error) => break Err(error),
                },
                SlotProj::Free => return Poll::Pending,
            }
        };
        self.set(Self::Free);
        Poll::Ready(result)
    }
}
