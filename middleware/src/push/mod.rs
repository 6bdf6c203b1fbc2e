//! Messages that the server sends unasked: to one [connection](Conn), to a [`Group`], to [`Topics`].
//!
//! A sender, on any thread, puts what it sends into the inbox of each shard that has receivers. A shard's fan-out
//! task takes it from there, joins messages of a group that were sent meanwhile into rounds, and wakes the members;
//! each writes the bytes of the round, which all of them share, when its replies are written. So sending costs as
//! much as there are shards, and a burst of messages costs a member one write.
//!
//! ```text
//!   sender ──► inbox of each shard ──► fan-out task ──► log of the group ──► member: a range of the log ──► socket
//! ```
//!
//! Everything that waits has a bound: the inbox ([`PushShard::set_shard_bytes`]), beyond which the connections that
//! send are not read on, and what waits for a member ([`PushShard::set_connection_bytes`]), beyond which its group's
//! [`SlowConsumer`] policy holds. Both count in the memory for buffers, each message once however many members wait
//! for it.
//!
//! Order: a message is never inside a reply, and comes behind the reply to the frame whose handler sent it or
//! joined. Messages of one group reach all members in one order; those from one thread to one connection arrive in
//! the order in which they were sent.
//!
//! Locks, outside in: the order of a group, its members on a shard, the mail of a connection, the log of the group;
//! the inbox is inside of the first alone.

mod conn;
mod error;
mod fan_out;
mod group;
mod group_shard;
mod items;
mod log;
mod mail;
mod mailbox;
mod membership;
mod order;
mod parcel;
mod recipient;
mod room;
mod round;
mod shard;
mod slow_consumer;
mod sync;
mod topics;
mod waiters;

use std::any::Any;

use bytes::{Bytes, BytesMut};

pub(crate) use self::room::{RoomWait, must_wait};
pub use self::{
    conn::{Conn, ConnId},
    error::PushError,
    group::Group,
    membership::Membership,
    shard::{AT_ONCE, CONNECTION_BYTES, PushShard, SHARD_BYTES, WriteNow},
    slow_consumer::SlowConsumer,
    topics::Topics,
};
#[doc(hidden)]
pub use self::{mail::NextMail, recipient::Recipient};
use crate::reply::{Message, Out, Replies};

/// What a server knows of the peer of a connection beside its address, of a type of its own.
pub type Fact = Box<dyn Any + Send + Sync>;

/// The bytes of a message; `None` if it has none.
fn encoded<P: Replies>(message: impl Message) -> Option<Bytes> {
    let mut out = BytesMut::new();
    Out::<P>::new(&mut out).write(message);
    (!out.is_empty()).then(|| out.freeze())
}
