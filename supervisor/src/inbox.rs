//! The connections that a worker receives, and the acks about them.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;
use towline::internal::{
    Accepted, ConnectionSlots, ConnectionTag, Dispatch, NewConnection, ShardDispatch,
};

use crate::message::{Ack, ConnectionMsg, TAGS_MAX};

/// Connections received before an ack is due for them alone; well below
/// [`IN_FLIGHT_MAX`](crate::worker_slot::IN_FLIGHT_MAX).
const ACK_EVERY: u64 = 32;

/// Passes received connections to the shards, and computes the acks.
#[derive(Debug)]
pub(crate) struct WorkerInbox {
    slots: Arc<ConnectionSlots>,
    dispatch: ShardDispatch,
    received: u64,
    received_untagged: u64,
    tags: Arc<OpenTags>,
    last_ack: Ack,
}

/// The tags of tagged connections: how many are open, and which have ended.
#[derive(Debug, Default)]
struct OpenTags {
    open: AtomicU64,
    /// Tags of ended connections that no ack has named yet. Bounded by the connections that were open
    /// at the last ack.
    ended: Mutex<Vec<u32>>,
    ended_notify: Notify,
}

/// Reports the end of its connection when dropped.
#[derive(Debug)]
struct TagGuard {
    tag: u32,
    tags: Arc<OpenTags>,
}

impl OpenTags {
    fn guard(self: &Arc<Self>, tag: u32) -> TagGuard {
        self.open.fetch_add(1, SeqCst);
        TagGuard { tag, tags: self.clone() }
    }

    /// Takes as many tags of ended connections as one ack can name.
    fn take_ended(&self) -> Vec<u32> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let count = ended.len().min(TAGS_MAX);
        ended.drain(..count).collect()
    }
}

impl Drop for TagGuard {
    fn drop(&mut self) {
        let tags = &self.tags;
        tags.ended.lock().unwrap_or_else(PoisonError::into_inner).push(self.tag);
        tags.open.fetch_sub(1, SeqCst);
        tags.ended_notify.notify_one();
    }
}

impl WorkerInbox {
    pub(crate) fn new(slots: Arc<ConnectionSlots>, dispatch: ShardDispatch) -> Self {
        let (tags, last_ack) = (Arc::default(), Ack::default());
        Self { slots, dispatch, received: 0, received_untagged: 0, tags, last_ack }
    }

    /// The connection slots of this worker.
    pub(crate) fn slots(&self) -> &Arc<ConnectionSlots> {
        &self.slots
    }

    /// Dispatches a connection to a shard. `socket` is `None` if this process had no descriptor left
    /// for it.
    pub(crate) async fn receive(&mut self, message: ConnectionMsg, socket: Option<OwnedFd>) {
        self.received += 1;
        let tag = message.tag.map(|tag| self.tags.guard(tag));
        if tag.is_none() {
            self.received_untagged += 1;
        }
        let Some(socket) = socket else {
            tracing::warn!("a connection was lost: there is no descriptor left for it");
            return;
        };
        self.dispatch.ready().await;
        // The supervisor sends no more connections than there are slots.
        let Some(reservation) = self.slots.try_reserve() else { return };
        let tag = tag.map(|tag| Box::new(tag) as ConnectionTag);
        let slot = reservation.assign(tag, |shard| self.dispatch.has_room(shard));
        let accepted = Accepted { socket, peer: message.peer, listener: message.listener };
        self.dispatch.dispatch(NewConnection { accepted, slot });
    }

    /// Waits until a tagged connection has ended.
    pub(crate) async fn tagged_ended(&self) {
        self.tags.ended_notify.notified().await;
    }

    /// Returns an ack if one is due: at once for ended connections, whose slots the supervisor can use
    /// again, and every [`ACK_EVERY`] for received ones.
    pub(crate) fn due_ack(&mut self) -> Option<Ack> {
        let tagged_open = self.tags.open.load(SeqCst);
        let open = self.slots.connections() as u64;
        let ack = Ack {
            received: self.received,
            ended_untagged: self.received_untagged.saturating_sub(open.saturating_sub(tagged_open)),
            tags: self.tags.take_ended(),
        };
        let is_due = !ack.tags.is_empty()
            || ack.ended_untagged != self.last_ack.ended_untagged
            || ack.received >= self.last_ack.received + ACK_EVERY;
        if !is_due {
            return None;
        }
        self.last_ack = Ack { tags: Vec::new(), ..ack };
        Some(ack)
    }
}
