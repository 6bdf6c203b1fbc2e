//! What a worker was handed, and what of it has ended.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use tokio::sync::Notify;

use crate::message::{Handed, MARKS_MAX, Tally};
use towline::internal::{Accepted, Deliver, Handover, Mark, Slots, ToShards};

/// Connections that are taken before the supervisor hears of it; well below what may be on its way.
const TAKEN_LUMP: u64 = 32;

/// Takes connections, gives them to the shards, and keeps the tally.
#[derive(Debug)]
pub(crate) struct Intake {
    slots: Arc<Slots>,
    deliver: ToShards,
    taken: u64,
    taken_unmarked: u64,
    marks: Arc<Marks>,
    told: Tally,
}

/// The marks of connections that have one.
#[derive(Debug, Default)]
struct Marks {
    open: AtomicU64,
    /// Those that ended and were not told of; bounded by the open connections of a moment ago.
    ended: Mutex<Vec<u32>>,
    news: Notify,
}

/// Says that its connection has ended, when it is dropped with it.
#[derive(Debug)]
struct OfOne {
    mark: u32,
    marks: Arc<Marks>,
}

impl Marks {
    fn one(self: &Arc<Self>, mark: u32) -> OfOne {
        self.open.fetch_add(1, SeqCst);
        OfOne { mark, marks: self.clone() }
    }

    fn ended(&self) -> Vec<u32> {
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let some = ended.len().min(MARKS_MAX);
        ended.drain(..some).collect()
    }
}

impl Drop for OfOne {
    fn drop(&mut self) {
        let marks = &self.marks;
        marks.ended.lock().unwrap_or_else(PoisonError::into_inner).push(self.mark);
        marks.open.fetch_sub(1, SeqCst);
        marks.news.notify_one();
    }
}

impl Intake {
    pub(crate) fn new(slots: Arc<Slots>, deliver: ToShards) -> Self {
        let (marks, told) = (Arc::default(), Tally::default());
        Self { slots, deliver, taken: 0, taken_unmarked: 0, marks, told }
    }

    pub(crate) fn slots(&self) -> &Arc<Slots> {
        &self.slots
    }

    /// Takes a connection; without a socket when there was no descriptor left for it here.
    pub(crate) async fn take(&mut self, handed: Handed, socket: Option<OwnedFd>) {
        self.taken += 1;
        let mark = handed.mark.map(|mark| self.marks.one(mark));
        if mark.is_none() {
            self.taken_unmarked += 1;
        }
        let Some(socket) = socket else {
            tracing::warn!("a connection was lost: there is no descriptor left for it");
            return;
        };
        self.deliver.ready().await;
        // The supervisor hands over no more than there are places for.
        let Some(place) = self.slots.try_reserve() else { return };
        let mark = mark.map(|mark| Box::new(mark) as Mark);
        let slot = place.place(mark, |shard| self.deliver.has_room(shard));
        self.deliver.deliver(Handover { accepted: Accepted { socket, peer: handed.peer }, slot });
    }

    /// Waits until a connection with a mark has ended.
    pub(crate) async fn mark_ended(&self) {
        self.marks.news.notified().await;
    }

    /// The tally, if there is something in it that the supervisor should know now: an end makes room
    /// for others, while what was only taken is told in lumps.
    pub(crate) fn news(&mut self) -> Option<Tally> {
        let marked_open = self.marks.open.load(SeqCst);
        let open = self.slots.connections() as u64;
        let tally = Tally {
            taken: self.taken,
            ended_unmarked: self.taken_unmarked.saturating_sub(open.saturating_sub(marked_open)),
            marks: self.marks.ended(),
        };
        let is_news = !tally.marks.is_empty()
            || tally.ended_unmarked != self.told.ended_unmarked
            || tally.taken >= self.told.taken + TAKEN_LUMP;
        if !is_news {
            return None;
        }
        self.told = Tally { marks: Vec::new(), ..tally };
        Some(tally)
    }
}
