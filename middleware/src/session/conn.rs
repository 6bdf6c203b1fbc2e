//! A connection, as the code behind it knows it.

use std::{
    fmt,
    marker::PhantomData,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{protocol::Lf, reply::Replies};

/// A connection of the protocol `P`: its number, and the address of its peer. 8 bytes; a clone is a reference
/// count. Does not keep the connection open.
///
/// ```
/// use towline_middleware::{protocol::Lf, session::Conn};
///
/// let conn = Conn::<Lf>::new(Some(([127, 0, 0, 1], 5000).into()));
/// assert_eq!(conn.address().unwrap().port(), 5000);
/// assert_eq!(conn.clone().id(), conn.id());
/// assert!(Conn::<Lf>::new(None).id() > conn.id());
/// ```
pub struct Conn<P: Replies = Lf> {
    inner: Arc<Inner>,
    protocol: PhantomData<fn() -> P>,
}

#[derive(Debug)]
struct Inner {
    id: ConnId,
    address: Option<SocketAddr>,
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
    /// A connection with the next number, from `address` if it has one: a UNIX socket has none.
    pub fn new(address: Option<SocketAddr>) -> Self {
        let id = ConnId(NEXT.fetch_add(1, Ordering::Relaxed));
        Self { inner: Arc::new(Inner { id, address }), protocol: PhantomData }
    }

    /// The number of the connection.
    pub fn id(&self) -> ConnId {
        self.inner.id
    }

    /// The peer's address; `None` for one on a UNIX socket.
    pub fn address(&self) -> Option<SocketAddr> {
        self.inner.address
    }
}

impl<P: Replies> Clone for Conn<P> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), protocol: PhantomData }
    }
}

impl<P: Replies> fmt::Debug for Conn<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { id, address } = &*self.inner;
        f.debug_struct("Conn").field("id", id).field("address", address).finish()
    }
}
