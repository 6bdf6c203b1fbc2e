//! What a worker was message, and what of it has ended.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use crate::message::{Ack, ConnectionMsg, TAGS_MAX};
use towline::internal::{
    Accepted, ConnectionSlots, ConnectionTag, Dispatch, NewConnection, ShardDispatch,
};

/// Connections that are taken before the supervisor hears of it; well below what may be on its way.
const ACK_EVERY: u64 = 32;

/// Takes connections, gives them to the shards, and keeps the ack.
#[derive(Debug)]
pub(crate) struct WorkerInbox {
    slots: Arc<ConnectionSlots>,
    dispatch: ShardDispatch,
    taken: u64,
    taken_untagged: u64,
    tags: Arc<OpenTags>,
    acked: Ack,
}

/// The tags of connections that have one.
#[derive(Debug, Default)]
struct OpenTags {
    open: AtomicU64,
    /// Those that ended and were not acked of; bounded by the open connections of a moment ago.
    ended: Mutex<Vec<u32>>,
    pending_ack: Notify,
}

/// Says that its connection has ended, when it is dropped with it.
#[derive(Debug)]
struct TagGuard {
    tag: u32,
    tags: Arc<OpenTags>,
}

impl OpenTags {
    fn one(self: &Arc<Self>, tag: u32) -> TagGuard {
        self.open.fetch_add(1, SeqCst);
        TagGuard { tag, tags: self.clone() }
    }

    fn ended(&self) -> Vec<u32> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let some = ended.len().min(TAGS_MAX);
        ended.drain(..some).collect()
    }
}

impl Drop for TagGuard {
    fn drop(&mut self) {
        let tags = &self.tags;
        tags.ended.lock().unwrap_or_else(PoisonError::into_inner).push(self.tag);
        tags.open.fetch_sub(1, SeqCst);
        tags.pending_ack.notify_one();
    }
}

impl WorkerInbox {
    pub(crate) fn new(slots: Arc<ConnectionSlots>, dispatch: ShardDispatch) -> Self {
        let (tags, acked) = (Arc::default(), Ack::default());
        Self { slots, dispatch, taken: 0, taken_untagged: 0, tags, acked }
    }

    pub(crate) fn slots(&self) -> &Arc<ConnectionSlots> {
        &self.slots
    }

    /// Takes a connection; without a socket when there was no descriptor left for it here.
    pub(crate) async fn take(&mut self, message: ConnectionMsg, socket: Option<OwnedFd>) {
        self.taken += 1;
        let tag = message.tag.map(|tag| self.tags.one(tag));
        if tag.is_none() {
            self.taken_untagged += 1;
        }
        let Some(socket) = socket else {
            tracing::warn!("a connection was lost: there is no descriptor left for it");
            return;
        };
        self.dispatch.ready().await;
        // The supervisor hands over no more than there are places for.
        let Some(place) = self.slots.try_reserve() else { return };
        let tag = tag.map(|tag| Box::new(tag) as ConnectionTag);
        let slot = place.assign(tag, |shard| self.dispatch.has_room(shard));
        self.dispatch
            .dispatch(NewConnection { accepted: Accepted { socket, peer: message.peer }, slot });
    }

    /// Waits until a connection with a tag has ended.
    pub(crate) async fn tag_ended(&self) {
        self.tags.pending_ack.notified().await;
    }

    /// The ack, if there is something in it that the supervisor should know now: an end makes room
    /// for others, while what was only taken is acked in lumps.
    pub(crate) fn pending_ack(&mut self) -> Option<Ack> {
        let tagged_open = self.tags.open.load(SeqCst);
        let open = self.slots.connections() as u64;
        let ack = Ack {
            taken: self.taken,
            ended_untagged: self.taken_untagged.saturating_sub(open.saturating_sub(tagged_open)),
            tags: self.tags.ended(),
        };
        let is_news = !ack.tags.is_empty()
            || ack.ended_untagged != self.acked.ended_untagged
            || ack.taken >= self.acked.taken + ACK_EVERY;
        if !is_news {
            return None;
        }
        self.acked = Ack { tags: Vec::new(), ..ack };
        Some(ack)
    }
}
