//! Places for connections: the process's limit, and who has how many.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
};

use tokio::sync::Notify;

/// All places of a process, and how many each shard has taken.
#[derive(Debug)]
pub(crate) struct Slots {
    limit: usize,
    taken: AtomicUsize,
    by_shard: Box<[AtomicUsize]>,
    freed: Notify,
}

/// One place, given back when dropped, however the connection ends.
#[derive(Debug)]
pub(crate) struct Slot {
    slots: Arc<Slots>,
    shard: usize,
}

impl Slots {
    pub(crate) fn new(limit: usize, shards: usize) -> Arc<Self> {
        Arc::new(Self {
            limit,
            taken: AtomicUsize::new(0),
            by_shard: (0..shards).map(|_| AtomicUsize::new(0)).collect(),
            freed: Notify::new(),
        })
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    pub(crate) fn taken(&self) -> usize {
        self.taken.load(SeqCst)
    }

    pub(crate) fn by_shard(&self, shard: usize) -> usize {
        self.by_shard[shard].load(Relaxed)
    }

    pub(crate) fn shards(&self) -> usize {
        self.by_shard.len()
    }

    /// A place on the shard that has the fewest connections, or `None` at the limit.
    ///
    /// Only the acceptor takes places, so a check and an add need not be one step.
    pub(crate) fn try_take(self: &Arc<Self>) -> Option<Slot> {
        if self.taken() >= self.limit {
            return None;
        }
        let shard = (0..self.shards()).min_by_key(|&shard| self.by_shard(shard))?;
        self.taken.fetch_add(1, SeqCst);
        self.by_shard[shard].fetch_add(1, Relaxed);
        Some(Slot { slots: self.clone(), shard })
    }

    /// Waits for a place.
    pub(crate) async fn take(self: &Arc<Self>) -> Slot {
        loop {
            // Registered before the look, so that a place freed in between is not missed.
            let freed = self.freed.notified();
            if let Some(slot) = self.try_take() {
                return slot;
            }
            freed.await;
        }
    }

    /// Waits until every place is free.
    pub(crate) async fn all_free(&self) {
        loop {
            let freed = self.freed.notified();
            if self.taken() == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Slot {
    pub(crate) fn shard(&self) -> usize {
        self.shard
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.by_shard[self.shard].fetch_sub(1, Relaxed);
        let taken_before = self.slots.taken.fetch_sub(1, SeqCst);
        // Nobody waits unless the process was full, or is to be empty.
        if taken_before >= self.slots.limit || taken_before == 1 {
            self.slots.freed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_to_the_shard_with_the_fewest_and_come_back_when_dropped() {
        let slots = Slots::new(3, 2);
        let [a, b, c] = std::array::from_fn(|_| slots.try_take().expect("below the limit"));
        assert_eq!((a.shard(), b.shard(), c.shard()), (0, 1, 0));
        assert!(slots.try_take().is_none());
        drop(b);
        assert_eq!(slots.try_take().map(|slot| slot.shard()), Some(1));
        drop((a, c));
        assert_eq!((slots.taken(), slots.by_shard(0)), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_is_freed() {
        let slots = Slots::new(1, 1);
        let first = slots.take().await;
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take().await }
        });
        tokio::task::yield_now().await;
        drop(first);
        drop(waiting.await.expect("no panic"));
        slots.all_free().await;
    }
}
