//! The order of a group: messages, joins and leaves, one after another.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use bytes::Bytes;

use super::{
    ConnId, Membership, PushError, SlowConsumer,
    group_shard::{GroupShard, Member},
    parcel::{GroupParcel, Parcel},
    recipient::Recipient,
    room::{Room, wait_for_room},
    shard::PushShard,
    sync::{Mutex, MutexGuard, lock},
    topics::TopicName,
};

/// A group, of whatever protocol.
///
/// What is sent goes to the inboxes of all shards under one lock, so that it arrives in the same order everywhere,
/// and a member gets exactly what is sent after it joined.
pub(super) struct Order {
    slow: SlowConsumer,
    /// How many members there are, for readers without the lock.
    members: AtomicUsize,
    parts: Mutex<Parts>,
}

#[derive(Default)]
struct Parts {
    /// Messages sent so far.
    sent: u64,
    /// One for each shard that ever had a member.
    shards: Vec<Arc<GroupShard>>,
    /// Where the group counts while it has members.
    home: Option<PushShard>,
}

impl Order {
    pub(super) fn new(slow: SlowConsumer) -> Self {
        Self { slow, members: AtomicUsize::new(0), parts: Mutex::default() }
    }

    pub(super) fn len(&self) -> usize {
        self.members.load(Relaxed)
    }

    pub(super) fn join(
        self: &Arc<Self>,
        conn: &Arc<Recipient>,
        topic: Option<TopicName>,
    ) -> Membership {
        let Some(shard) = conn.shard().filter(|_| conn.mailbox().is_open()) else {
            return Membership::of_nothing(topic);
        };
        let mut parts = lock(&self.parts);
        let group = match parts.shards.iter().find(|group| group.shard().is(shard)) {
            Some(group) => group.clone(),
            None => {
                let group = Arc::new(GroupShard::new(shard.clone(), self.slow));
                parts.shards.push(group.clone());
                group
            }
        };
        let key = group.add(Member { recipient: conn.clone(), since: parts.sent });
        if self.members.fetch_add(1, Relaxed) == 0 {
            shard.counts().groups.add(1);
            parts.home = Some(shard.clone());
        }
        drop(parts);
        Membership::new(self.clone(), group, key, conn.clone(), topic)
    }

    pub(super) fn leave(&self, group: &Arc<GroupShard>, key: u32, conn: &Recipient) {
        let mut parts = lock(&self.parts);
        group.remove(key);
        if self.members.fetch_sub(1, Relaxed) == 1
            && let Some(home) = parts.home.take()
        {
            home.counts().groups.add(-1);
        }
        drop(parts);
        conn.mailbox().discard(group, key);
    }

    /// Sends to all members but `except`. Returns how many members there are.
    pub(super) fn send(&self, bytes: &Bytes, except: Option<ConnId>) -> Result<usize, PushError> {
        let mut parts = lock(&self.parts);
        parts.check(bytes.len())?;
        let number = parts.next_number();
        for group in parts.shards.iter().filter(|group| group.has_members()) {
            let (group, bytes) = (group.clone(), bytes.clone());
            let len = bytes.len();
            group
                .clone()
                .shard()
                .put(Parcel::Group(GroupParcel { group, number, bytes, except }), len);
        }
        parts.wait_for_members(self.slow);
        Ok(self.len())
    }

    /// Sends to the members of several groups, once to each connection.
    pub(super) fn send_union(mut orders: Vec<&Arc<Self>>, bytes: &Bytes) -> Result<(), PushError> {
        // Always locked in the same order.
        orders.sort_unstable_by_key(|order| Arc::as_ptr(order));
        orders.dedup_by(|one, other| Arc::ptr_eq(one, other));
        let mut locked: Vec<MutexGuard<'_, Parts>> =
            orders.iter().map(|order| lock(&order.parts)).collect();
        for parts in &locked {
            parts.check(bytes.len())?;
        }
        let mut by_shard: Vec<Vec<(Arc<GroupShard>, u64)>> = Vec::new();
        for parts in &mut locked {
            let number = parts.next_number();
            for group in parts.shards.iter().filter(|group| group.has_members()) {
                let part = (group.clone(), number);
                match by_shard.iter_mut().find(|of| of[0].0.shard().is(group.shard())) {
                    Some(groups) => groups.push(part),
                    None => by_shard.push(vec![part]),
                }
            }
        }
        for groups in by_shard {
            let shard = groups[0].0.shard().clone();
            shard.put(Parcel::Union { groups, bytes: bytes.clone() }, bytes.len());
        }
        for (order, parts) in orders.iter().zip(&locked) {
            parts.wait_for_members(order.slow);
        }
        Ok(())
    }
}

impl Parts {
    /// Whether all shards take a message of `bytes`.
    fn check(&self, bytes: usize) -> Result<(), PushError> {
        self.shards.iter().filter(|group| group.has_members()).try_for_each(|group| {
            group.shard().check_len(bytes)?;
            group.shard().check_room(bytes)
        })
    }

    const fn next_number(&mut self) -> u64 {
        let number = self.sent;
        self.sent += 1;
        number
    }

    /// Has the connection that sends wait for members that hold the group up.
    fn wait_for_members(&self, slow: SlowConsumer) {
        if let SlowConsumer::Block(_) = slow {
            for group in self.shards.iter().filter(|group| group.holds_up()) {
                wait_for_room(Room::Group(group.clone()));
            }
        }
    }
}
