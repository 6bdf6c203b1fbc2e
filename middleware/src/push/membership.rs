//! That a connection is in a group.

use std::{fmt, sync::Arc};

use super::{group_shard::GroupShard, order::Order, recipient::Recipient, topics::TopicName};

/// That a connection is a member of a [`Group`](super::Group), or of a topic of [`Topics`](super::Topics). Dropped,
/// it leaves.
///
/// What was sent before and was not written is left out then, and counted as dropped: behind the reply to the frame
/// whose handler left, nothing of the group comes any more.
#[must_use = "a connection leaves the group when its membership is dropped"]
pub struct Membership {
    /// `None` for that of a connection that had ended.
    seat: Option<Seat>,
    topic: Option<TopicName>,
}

struct Seat {
    order: Arc<Order>,
    group: Arc<GroupShard>,
    key: u32,
    conn: Arc<Recipient>,
}

impl Membership {
    pub(super) const fn new(
        order: Arc<Order>,
        group: Arc<GroupShard>,
        key: u32,
        conn: Arc<Recipient>,
        topic: Option<TopicName>,
    ) -> Self {
        Self { seat: Some(Seat { order, group, key, conn }), topic }
    }

    pub(super) const fn of_nothing(topic: Option<TopicName>) -> Self {
        Self { seat: None, topic }
    }

    /// Leaves the group, as its drop does.
    pub fn leave(self) {}
}

impl Drop for Membership {
    fn drop(&mut self) {
        if let Some(Seat { order, group, key, conn }) = self.seat.take() {
            order.leave(&group, key, &conn);
        }
        if let Some(topic) = self.topic.take() {
            topic.remove_if_empty();
        }
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let conn = self.seat.as_ref().map(|seat| seat.conn.id);
        f.debug_struct("Membership").field("conn", &conn).field("topic", &self.topic).finish()
    }
}
