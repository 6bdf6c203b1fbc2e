//! What is sent to the connections of a shard.

use std::sync::Arc;

use bytes::Bytes;

use super::{ConnId, group_shard::GroupShard, recipient::Recipient};

/// Something on its way to the connections of one shard.
pub(super) enum Parcel {
    /// For one connection, which has room for it.
    Message { to: Arc<Recipient>, bytes: Bytes },
    /// One connection is closed.
    Close { to: Arc<Recipient> },
    /// For the members of a group.
    Group(GroupParcel),
    /// For the members of several groups, once for each connection.
    Union { groups: Vec<(Arc<GroupShard>, u64)>, bytes: Bytes },
}

/// A message for the members of a group.
pub(super) struct GroupParcel {
    pub(super) group: Arc<GroupShard>,
    /// The number of the message in its group.
    pub(super) number: u64,
    pub(super) bytes: Bytes,
    pub(super) except: Option<ConnId>,
}
