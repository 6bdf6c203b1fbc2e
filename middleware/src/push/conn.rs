//! A connection, for code on any thread.

use std::{
    any::Any,
    fmt,
    future::Future,
    marker::PhantomData,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;

use super::{Fact, PushError, encoded, recipient::Recipient, shard::PushShard};
use crate::{
    connections::Endpoints,
    protocol::Lf,
    reply::{Message, Replies},
};

/// A connection of the protocol `P`, for code on any thread. 8 bytes; a clone is a reference count. Does not keep
/// the connection open.
///
/// *Does*: sends messages to the peer between its replies ([`push`](Self::push)), and closes the connection. *Does
/// not*: wait for the peer; what it does not take waits, up to `push.connection_bytes`. *Order*: messages from one
/// thread to one connection arrive in the order in which they were sent, directly or by a
/// [`Group`](super::Group), and behind the reply to the frame whose handler sent them. *Costs*: 168 bytes a
/// connection; a message is encoded once and copied nowhere.
///
/// ```no_run
/// use std::{sync::{Arc, Mutex}, time::Duration};
/// use towline_middleware::{push::{Conn, PushError}, protocol::Lf};
///
/// /// Tells all that were registered the time, from a thread of its own.
/// fn tick(registered: Arc<Mutex<Vec<Conn<Lf>>>>) {
///     std::thread::spawn(move || {
///         for seconds in 0.. {
///             std::thread::sleep(Duration::from_secs(1));
///             let mut conns = registered.lock().unwrap();
///             conns.retain(|conn| conn.push(format_args!("TICK {seconds}")) != Err(PushError::Closed));
///         }
///     });
/// }
/// ```
pub struct Conn<P: Replies = Lf> {
    recipient: Arc<Recipient>,
    protocol: PhantomData<fn() -> P>,
}

/// The number of a connection, unique in the life of its process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(u64);

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The next number, wherever connections are made.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl<P: Replies> Conn<P> {
    /// A connection with the next number, from `address` if it has one: a UNIX socket has none. Nothing can be
    /// pushed to it.
    ///
    /// ```
    /// use towline_middleware::{protocol::Lf, push::{Conn, PushError}};
    ///
    /// let conn = Conn::<Lf>::new(Some(([127, 0, 0, 1], 5000).into()));
    /// assert_eq!(conn.address().unwrap().port(), 5000);
    /// assert_eq!(conn.clone().id(), conn.id());
    /// assert!(Conn::<Lf>::new(None).id() > conn.id());
    /// assert_eq!(conn.push("hello"), Err(PushError::Closed));
    /// ```
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self::of(address.into(), None)
    }

    /// A connection between these ends, on a shard whose [fan-out task](PushShard::run) gives it what is pushed; without
    /// a shard nothing can be pushed to it.
    pub fn on_shard(endpoints: Endpoints, shard: Option<PushShard>) -> Self {
        Self::of(endpoints, shard)
    }

    fn of(endpoints: Endpoints, shard: Option<PushShard>) -> Self {
        let id = ConnId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { recipient: Arc::new(Recipient::new(id, endpoints, shard)), protocol: PhantomData }
    }

    /// The number of the connection.
    pub fn id(&self) -> ConnId {
        self.recipient.id
    }

    /// The peer's address; `None` for one on a UNIX socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.recipient.endpoints.peer()
    }

    /// The addresses of both ends, as far as the connection has some.
    pub fn endpoints(&self) -> &Endpoints {
        &self.recipient.endpoints
    }

    /// What the server knows of the peer beside its address, if that is a `T`. The crate `towline` has it as a `Peer`.
    pub fn fact<T: Any + Clone>(&self) -> Option<T> {
        self.recipient.fact()
    }

    /// Sets what [`fact`](Self::fact) returns, in the place of what was known before.
    ///
    /// ```
    /// use towline_middleware::{protocol::Lf, push::Conn};
    ///
    /// let conn = Conn::<Lf>::new(None);
    /// conn.set_fact(Box::new("by the back door"));
    /// assert_eq!(conn.fact::<&str>(), Some("by the back door"));
    /// assert_eq!(conn.fact::<u32>(), None);
    /// ```
    pub fn set_fact(&self, fact: Fact) {
        self.recipient.set_fact(fact);
    }

    /// Sends `message` to the peer. Never waits, and may be called on any thread, with a runtime or without.
    ///
    /// It is written whole, between two replies: behind the reply to the frame in hand, if there is one.
    ///
    /// # Errors
    /// When it is not taken: see [`PushError`].
    pub fn push(&self, message: impl Message) -> Result<(), PushError> {
        match encoded::<P>(message) {
            Some(bytes) => self.recipient.push(&bytes),
            None => Ok(()),
        }
    }

    /// As [`push`](Self::push), but waits until there is room. Holds the message meanwhile.
    pub fn send(&self, message: impl Message) -> Sending {
        Sending { recipient: self.recipient.clone(), bytes: encoded::<P>(message) }
    }

    /// Closes the connection behind the messages that were sent to it before, and behind the reply to the frame in
    /// hand, as [`CloseReason::ServiceClose`](crate::stats::CloseReason::ServiceClose). What the peer sends
    /// meanwhile is not served.
    pub fn close(&self) {
        self.recipient.close();
    }

    /// As [`close`](Self::close), behind last words.
    pub fn close_with(&self, last: impl Message) {
        // A peer for which so much waits already that no word fits is closed without it.
        let _ = self.push(last);
        self.close();
    }

    /// Whether messages are taken.
    pub fn is_open(&self) -> bool {
        self.recipient.shard().is_some() && self.recipient.mailbox().is_open()
    }

    /// Bytes of messages that wait for the peer to take them.
    pub fn waiting_bytes(&self) -> usize {
        self.recipient.mailbox().waiting_bytes()
    }

    /// What its handles share.
    pub(crate) const fn recipient(&self) -> &Arc<Recipient> {
        &self.recipient
    }
}

impl<P: Replies> Clone for Conn<P> {
    fn clone(&self) -> Self {
        Self { recipient: self.recipient.clone(), protocol: PhantomData }
    }
}

impl<P: Replies> fmt::Debug for Conn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recipient { id, endpoints, .. } = &*self.recipient;
        f.debug_struct("Conn").field("id", id).field("address", &endpoints.peer()).finish()
    }
}

/// Future of [`Conn::send`].
///
/// # Errors
/// [`PushError::Closed`] when the connection ends before, [`PushError::TooLong`] for a message that can never be
/// sent, and [`PushError::Full`] when too much waits for the connections of the whole shard.
#[must_use = "futures do nothing unless polled"]
pub struct Sending {
    recipient: Arc<Recipient>,
    bytes: Option<Bytes>,
}

impl Future for Sending {
    type Output = Result<(), PushError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &self.bytes {
            Some(bytes) => self.recipient.poll_push(cx, bytes),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl fmt::Debug for Sending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("to", &self.recipient.id).finish_non_exhaustive()
    }
}
