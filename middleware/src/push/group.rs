//! Connections that hear the same.

use std::{fmt, marker::PhantomData, sync::Arc};

use super::{Conn, Membership, PushError, SlowConsumer, encoded, order::Order};
use crate::{
    protocol::Lf,
    reply::{Message, Replies},
};

/// Connections of the protocol `P` that hear the same: a room, a channel, the subscribers of a feed. Cheap to
/// clone; the clones are one group.
///
/// *Does*: gives each member every message that is sent while it is one, all members in one order. *Does not*: wait
/// for a member; [`SlowConsumer`] says what happens to one that does not keep up. Reaches the connections of this
/// process. *Costs*: a message is encoded once. Sending puts it
/// into one queue for each shard that has members, however many they are; their shards' fan-out tasks do the rest, and
/// join messages that were sent meanwhile, so that a member takes many with one write.
///
/// ```no_run
/// use towline_middleware::{
///     protocol::Lf,
///     push::{Group, Membership, PushError, SlowConsumer},
///     reply::Args,
///     router::Router,
///     session::{Conn, Cx},
/// };
///
/// struct Guest {
///     room: Group,
///     conn: Conn,
///     seat: Option<Membership>,
/// }
///
/// fn join(guest: &mut Guest, _: Args<'_>) -> usize {
///     guest.seat = Some(guest.room.join(&guest.conn));
///     guest.room.len()
/// }
///
/// fn say(guest: &mut Guest, words: Args<'_>) -> Result<&'static str, PushError> {
///     guest.room.send_except(&guest.conn, words.rest())?;
///     Ok("OK")
/// }
///
/// let commands = Router::<Lf, Guest>::new().command("JOIN", join).command("SAY", say);
/// let room = Group::<Lf>::new(SlowConsumer::Disconnect);
/// ```
pub struct Group<P: Replies = Lf> {
    order: Arc<Order>,
    protocol: PhantomData<fn() -> P>,
}

impl<P: Replies> Group<P> {
    /// A group without members.
    pub fn new(slow: SlowConsumer) -> Self {
        Self { order: Arc::new(Order::new(slow)), protocol: PhantomData }
    }

    /// Makes `conn` a member until the returned membership is dropped: keep that in its session. It gets what is
    /// sent from now on, behind the reply to the frame in hand. Joined twice, it hears everything twice.
    ///
    /// A connection that has ended becomes a member that hears nothing.
    pub fn join(&self, conn: &Conn<P>) -> Membership {
        self.order.join(conn.recipient(), None)
    }

    /// Sends `message` to all members, and returns to how many. Never waits.
    ///
    /// # Errors
    /// When it is not taken: see [`PushError`]. It reaches no member then.
    pub fn send(&self, message: impl Message) -> Result<usize, PushError> {
        if self.is_empty() {
            return Ok(0);
        }
        match encoded::<P>(message) {
            Some(bytes) => self.order.send(&bytes, None),
            None => Ok(self.len()),
        }
    }

    /// As [`send`](Self::send), to all members but `conn`: its own words.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_except(&self, conn: &Conn<P>, message: impl Message) -> Result<(), PushError> {
        if !self.is_empty()
            && let Some(bytes) = encoded::<P>(message)
        {
            self.order.send(&bytes, Some(conn.id()))?;
        }
        Ok(())
    }

    /// Sends `message` to the members of several groups, once to each connection that is in any of them, such as
    /// that a client has left all its rooms. Messages of each group keep their order.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    pub fn send_union<'a>(
        groups: impl IntoIterator<Item = &'a Self>,
        message: impl Message,
    ) -> Result<(), PushError> {
        match encoded::<P>(message) {
            Some(bytes) => {
                Order::send_union(groups.into_iter().map(|group| &group.order).collect(), &bytes)
            }
            None => Ok(()),
        }
    }

    /// How many members there are; one that joined twice is two.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) const fn of(order: Arc<Order>) -> Self {
        Self { order, protocol: PhantomData }
    }
}

impl<P: Replies> Clone for Group<P> {
    fn clone(&self) -> Self {
        Self::of(self.order.clone())
    }
}

impl<P: Replies> fmt::Debug for Group<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("members", &self.len()).finish_non_exhaustive()
    }
}
