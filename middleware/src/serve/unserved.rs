//! A connection before its first frame.

use std::task::{Context, Poll};

use super::shard_link::ShardLink;
use crate::{
    connections::{ConnectionEnd, PeerAddress},
    stats::{CloseReason, State},
};

/// A connection that is counted as open and has a row, but is not served yet: a PROXY header or a TLS handshake is
/// awaited. Made by [`Serve::unserved`](super::Serve::unserved).
///
/// Dropping it cuts the connection, as dropping a [`Connection`](super::Connection) does.
#[doc(hidden)]
#[derive(Debug)]
pub struct Unserved {
    shard: ShardLink,
}

impl Unserved {
    pub(super) const fn new(shard: ShardLink) -> Self {
        Self { shard }
    }

    /// Sets the peer's address in the shard's list of [connections](crate::connections).
    pub fn set_peer(&self, peer: PeerAddress) {
        self.shard.set_peer(peer);
    }

    /// Polls what is awaited. While that is pending the connection is in the state [`Handshake`](State::Handshake).
    ///
    /// # Errors
    /// Why the connection must close, if a drain or an operator asks it to.
    pub fn poll<T>(
        &mut self,
        cx: &mut Context<'_>,
        awaited: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<Result<T, CloseReason>> {
        self.shard.resume();
        self.shard.wake_entry().register(cx.waker());
        if self.shard.is_draining() {
            return Poll::Ready(Err(self.shard.finish_reason()));
        }
        let polled = awaited(cx);
        if polled.is_pending() {
            self.park(State::Handshake);
        }
        polled.map(Ok)
    }

    /// Polls the close of a connection that is not served, because of `reason`. It is in the state
    /// [`Closing`](State::Closing), and if it is cut it counts as ended for `reason`.
    pub fn poll_close<T>(
        &mut self,
        cx: &mut Context<'_>,
        reason: CloseReason,
        close: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        self.shard.linger(reason);
        self.shard.resume();
        let polled = close(cx);
        if polled.is_pending() {
            self.park(State::Closing);
        }
        polled
    }

    fn park(&mut self, state: State) {
        let now = self.shard.stats().now();
        self.shard.park(state, now);
    }

    /// Counts the connection as ended for `reason`. Later calls do nothing.
    pub fn close(&mut self, reason: CloseReason) {
        self.shard.close(reason);
    }

    /// Counts the connection as ended, as its drop does, and returns how it ended.
    pub fn end(&mut self) -> ConnectionEnd {
        self.shard.end()
    }

    /// What the connection is served with, in another task.
    pub(super) fn into_served(mut self) -> ShardLink {
        self.shard.resume();
        self.shard.forget_task();
        self.shard
    }
}
