//! A connection, as its senders see it.

use std::{
    any::Any,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

use super::{
    ConnId, Fact, PushError, mail::NextMail, mailbox::Mailbox, parcel::Parcel, shard::PushShard,
};
use crate::connections::Endpoints;

/// What all handles of a connection share.
#[doc(hidden)]
pub struct Recipient {
    pub(super) id: ConnId,
    pub(super) endpoints: Endpoints,
    /// What the server knows of the peer beside its address. In two boxes, to take 16 bytes where there is nothing.
    fact: Mutex<Option<Box<Fact>>>,
    /// `None` if nothing serves it that could push.
    shard: Option<PushShard>,
    mailbox: Mailbox,
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipient").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Recipient {
    pub(super) fn new(id: ConnId, endpoints: Endpoints, shard: Option<PushShard>) -> Self {
        Self { id, endpoints, fact: Mutex::new(None), shard, mailbox: Mailbox::new() }
    }

    fn lock_fact(&self) -> MutexGuard<'_, Option<Box<Fact>>> {
        self.fact.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what is known of the peer.
    pub(crate) fn set_fact(&self, fact: Fact) {
        *self.lock_fact() = Some(Box::new(fact));
    }

    /// What is known of the peer, if it is a `T`.
    pub(super) fn fact<T: Any + Clone>(&self) -> Option<T> {
        self.lock_fact().as_ref()?.downcast_ref().cloned()
    }

    pub(super) fn shard(&self) -> Option<&PushShard> {
        self.shard.as_ref()
    }

    pub(super) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Sends a message.
    pub(super) fn push(self: &Arc<Self>, bytes: &Bytes) -> Result<(), PushError> {
        let shard = self.shard().ok_or(PushError::Closed)?;
        shard.check_len(bytes.len())?;
        let room = self.mailbox.reserve(bytes.len(), shard.connection_bytes_max(), None);
        room.inspect_err(|_| shard.counts().refused.add(1))?;
        self.send_reserved(shard, bytes)
    }

    /// Sends a message when there is room for it.
    pub(super) fn poll_push(
        self: &Arc<Self>,
        cx: &Context<'_>,
        bytes: &Bytes,
    ) -> Poll<Result<(), PushError>> {
        let Some(shard) = self.shard() else { return Poll::Ready(Err(PushError::Closed)) };
        if let Err(too_long) = shard.check_len(bytes.len()) {
            return Poll::Ready(Err(too_long));
        }
        match self.mailbox.reserve(bytes.len(), shard.connection_bytes_max(), Some(cx.waker())) {
            Ok(()) => Poll::Ready(self.send_reserved(shard, bytes)),
            Err(PushError::Full) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    fn send_reserved(self: &Arc<Self>, shard: &PushShard, bytes: &Bytes) -> Result<(), PushError> {
        let parcel = Parcel::Message { to: self.clone(), bytes: bytes.clone() };
        shard.send(parcel, bytes.len()).inspect_err(|_| self.mailbox.unreserve(bytes.len()))
    }

    /// Closes the connection behind the mail that was sent before.
    pub(super) fn close(self: &Arc<Self>) {
        if let Some(shard) = self.shard()
            && self.mailbox.is_open()
        {
            shard.put(Parcel::Close { to: self.clone() }, 0);
        }
    }

    /// See [`Connection::set_stream_id`](crate::serve::Connection::set_stream_id).
    pub(crate) fn set_stream_id(&self, stream: i32) {
        self.mailbox.set_stream_id(stream);
    }

    /// The connection's task runs. Returns whether what was written meanwhile ends inside of a message.
    #[inline]
    pub(crate) fn begin_turn(&self) -> bool {
        self.mailbox.begin_turn()
    }

    /// The connection's task has written all that it had, and waits for input.
    #[inline]
    pub(crate) fn end_turn(&self) {
        self.mailbox.end_turn();
    }

    /// Whether the connection has mail to take.
    #[inline]
    pub fn has_mail(&self) -> bool {
        self.mailbox.has_mail()
    }

    /// Sets the connection's task. Returns whether there is mail.
    pub(crate) fn register(&self, waker: &Waker) -> bool {
        self.shard.is_some() && self.mailbox.register(waker)
    }

    /// What its connection does next.
    pub fn next_mail(&self) -> NextMail {
        self.shard().map_or(NextMail::Nothing, |shard| self.mailbox.next(shard))
    }

    /// Takes bytes that were written off the mail. Returns whether they end inside of a message.
    pub fn advance_mail(&self, bytes: usize) -> bool {
        self.shard().is_some_and(|shard| self.mailbox.advance(bytes, shard))
    }

    /// Whether its connection takes its mail too slowly.
    pub(crate) fn is_too_slow(&self) -> bool {
        self.mailbox.is_too_slow()
    }

    /// Bytes of mail that wait.
    pub(crate) fn waiting_bytes(&self) -> usize {
        self.mailbox.waiting_bytes()
    }

    /// Takes no more mail; what waits is still written.
    pub(crate) fn stop_mail(&self) {
        self.mailbox.stop();
    }

    /// Takes no more mail, and leaves out what waits.
    pub(crate) fn close_mailbox(&self) {
        if let Some(shard) = self.shard() {
            self.mailbox.close(shard);
        }
    }
}
