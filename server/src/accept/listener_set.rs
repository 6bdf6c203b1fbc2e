//! The listening sockets of one port, accepted from in rotation.

use std::{future::poll_fn, io, task::Poll};

use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

use super::{fd::register, listen::Listener};

/// Registered listening sockets, and which was accepted from last.
#[derive(Debug)]
pub(super) struct ListenerSet {
    listeners: Vec<AsyncFd<Listener>>,
    last: usize,
}

impl ListenerSet {
    pub(super) fn register(listeners: Vec<Listener>) -> io::Result<Self> {
        let registered =
            listeners.into_iter().map(|listener| register(listener, Interest::READABLE));
        Ok(Self { listeners: registered.collect::<io::Result<_>>()?, last: 0 })
    }

    /// Waits until a listener may have a connection. The search starts behind the last one, so no
    /// listener starves another.
    pub(super) async fn readable(&mut self) -> io::Result<AsyncFdReadyGuard<'_, Listener>> {
        let Self { listeners, last } = self;
        poll_fn(|cx| {
            for _ in 0..listeners.len() {
                *last = (*last + 1) % listeners.len();
                if let Poll::Ready(ready) = listeners[*last].poll_read_ready(cx) {
                    return Poll::Ready(ready);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// Takes the listeners out, still registered.
    pub(super) fn take(&mut self) -> Vec<AsyncFd<Listener>> {
        std::mem::take(&mut self.listeners)
    }
}
