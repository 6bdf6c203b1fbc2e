//! The listening sockets, taken in turn.

use std::{future::poll_fn, io, task::Poll};

use tokio::io::{
    Interest,
    unix::{AsyncFd, AsyncFdReadyGuard},
};

use super::{fd::watch, listen::Listener};

/// Listening sockets whose connections are taken in turn.
#[derive(Debug)]
pub(super) struct ListenerSet {
    pub(super) all: Vec<AsyncFd<Listener>>,
    turn: usize,
}

impl ListenerSet {
    pub(super) fn watch(listeners: Vec<Listener>) -> io::Result<Self> {
        let watched = listeners.into_iter().map(|listener| watch(listener, Interest::READABLE));
        Ok(Self { all: watched.collect::<io::Result<_>>()?, turn: 0 })
    }

    /// Waits until one of them may have a connection, beginning behind the one that was last.
    pub(super) async fn readable(&mut self) -> io::Result<AsyncFdReadyGuard<'_, Listener>> {
        let Self { all, turn } = self;
        poll_fn(|cx| {
            for _ in 0..all.len() {
                *turn = (*turn + 1) % all.len();
                if let Poll::Ready(ready) = all[*turn].poll_read_ready(cx) {
                    return Poll::Ready(ready);
                }
            }
            Poll::Pending
        })
        .await
    }
}
