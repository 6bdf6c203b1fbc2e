//! Places for connections: the total's limit, and who has how many.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
};

use tokio::sync::{Notify, futures::Notified};

/// All places of a total, and how many each shard has taken.
#[derive(Debug)]
pub struct ConnectionSlots {
    total: Arc<Total>,
    by_shard: Box<[Arc<SlotHolder>]>,
    /// The shard that got the last place.
    last: AtomicUsize,
}

/// A shard with no more than so small a part above the fewest has as few as any.
const EQUAL_LOAD_FRACTION: usize = 64;

/// Most connections in a row for one shard while others have fewer.
const SAME_SHARD_RUN_MAX: usize = 32;

/// What the shards share.
#[derive(Debug)]
struct Total {
    limit: AtomicUsize,
    taken: AtomicUsize,
    freed: Notify,
}

#[derive(Debug)]
struct ShardSlots {
    index: usize,
    taken: AtomicUsize,
    total: Arc<Total>,
}

/// What a connection holds: one for all of a shard, or one of its own if it left a tag.
#[derive(Debug)]
struct SlotHolder {
    shard: Arc<ShardSlots>,
    tag: Option<ConnectionTag>,
}

/// Something that tells a connection from others, gone with it.
pub type ConnectionTag = Box<dyn Tag>;

/// What a tag can be.
pub trait Tag: fmt::Debug + Send + Sync {}

impl<T: fmt::Debug + Send + Sync> Tag for T {}

/// One place below the limit, held for a connection that is yet to come; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    slots: Arc<ConnectionSlots>,
}

/// A connection's place on a shard, given back when dropped, however the connection ends. One
/// pointer, because every connection carries it.
#[derive(Debug)]
pub struct ConnectionSlot(Arc<SlotHolder>);

impl ConnectionSlots {
    pub fn new(limit: usize, shards: usize) -> Arc<Self> {
        let (limit, taken) = (AtomicUsize::new(limit), AtomicUsize::new(0));
        let total = Arc::new(Total { limit, taken, freed: Notify::new() });
        let of_shard = |index| {
            let (taken, total) = (AtomicUsize::new(0), total.clone());
            Arc::new(SlotHolder { shard: Arc::new(ShardSlots { index, taken, total }), tag: None })
        };
        let last = AtomicUsize::new(0);
        Arc::new(Self { by_shard: (0..shards).map(of_shard).collect(), total, last })
    }

    pub fn limit(&self) -> usize {
        self.total.limit.load(SeqCst)
    }

    /// Changes the limit at once. One below the places that are taken closes nobody: no more come
    /// until enough have gone.
    pub fn set_limit(&self, limit: usize) {
        self.total.limit.store(limit, SeqCst);
        self.total.freed.notify_waiters();
    }

    pub fn taken(&self) -> usize {
        self.total.taken.load(SeqCst)
    }

    /// Connections that have arrived; places may be taken for some that have not.
    pub fn connections(&self) -> usize {
        (0..self.shards()).map(|shard| self.by_shard(shard)).sum()
    }

    pub fn by_shard(&self, shard: usize) -> usize {
        self.by_shard[shard].shard.taken.load(Relaxed)
    }

    pub fn shards(&self) -> usize {
        self.by_shard.len()
    }

    /// A place for one more connection, or `None` at the limit.
    ///
    /// Only the acceptor takes places, so a check and an add need not be one step.
    pub fn try_reserve(self: &Arc<Self>) -> Option<Reservation> {
        if self.taken() >= self.limit() {
            return None;
        }
        self.total.taken.fetch_add(1, SeqCst);
        Some(Reservation { slots: self.clone() })
    }

    /// The same place on another shard, which takes the connection over in the first one's stead.
    pub fn moved(&self, mut slot: ConnectionSlot, shard: usize) -> ConnectionSlot {
        // Only what is shared has no tag.
        let tag = Arc::get_mut(&mut slot.0).and_then(|held| held.tag.take());
        self.take(&self.by_shard[shard], tag)
    }

    /// One more place on a shard, which the slot gives back.
    fn take(&self, held: &Arc<SlotHolder>, tag: Option<ConnectionTag>) -> ConnectionSlot {
        held.shard.taken.fetch_add(1, Relaxed);
        self.total.taken.fetch_add(1, SeqCst);
        ConnectionSlot(match tag {
            None => held.clone(),
            tag => Arc::new(SlotHolder { shard: held.shard.clone(), tag }),
        })
    }

    /// Waits for a place.
    pub async fn reserve(self: &Arc<Self>) -> Reservation {
        loop {
            // Registered before the look, so that a place freed in between is not missed.
            let freed = self.total.freed.notified();
            if let Some(reservation) = self.try_reserve() {
                return reservation;
            }
            freed.await;
        }
    }

    /// Waits until a place is given back, from now on and not from the first poll on.
    pub fn changed(&self) -> Notified<'_> {
        self.total.freed.notified()
    }

    /// Waits until every place is free.
    pub async fn all_free(&self) {
        loop {
            let freed = self.total.freed.notified();
            if self.taken() == 0 {
                return;
            }
            freed.await;
        }
    }
}

impl Reservation {
    /// Gives the place to a connection that has arrived, on the shard that has the fewest now and
    /// can take one over. None can only when all have ended, and then any will do.
    ///
    /// Where there are many, the shard that got the last one gets some more first: to take several
    /// over at a time costs it one wake-up, and with many processes that is what a connection costs.
    pub fn place(
        self,
        tag: Option<ConnectionTag>,
        has_room: impl Fn(usize) -> bool,
    ) -> ConnectionSlot {
        let ConnectionSlots { by_shard, last, .. } = &*self.slots;
        let taken = |held: &SlotHolder| held.shard.taken.load(Relaxed);
        let fewest = by_shard.iter().min_by_key(|held| (!has_room(held.shard.index), taken(held)));
        let mut held = fewest.expect("a server has at least one shard");
        let again = &by_shard[last.load(Relaxed)];
        let few = taken(held) + (taken(held) / EQUAL_LOAD_FRACTION).min(SAME_SHARD_RUN_MAX);
        if taken(again) < few && has_room(again.shard.index) {
            held = again;
        }
        last.store(held.shard.index, Relaxed);
        // The reservation gives its own place back now.
        self.slots.take(held, tag)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.slots.total.give_back();
    }
}

impl Total {
    fn give_back(&self) {
        self.taken.fetch_sub(1, SeqCst);
        // Few wait: who is let in at the limit, who waits for the last to go, who keeps a tally. Each
        // registers before looking, so none needs the wake-up of a moment ago.
        self.freed.notify_waiters();
    }
}

impl ConnectionSlot {
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// Whether it must be told from others of its shard.
    pub fn is_tagged(&self) -> bool {
        self.0.tag.is_some()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        // The shard first: who finds all places free finds no connection on any shard.
        self.0.shard.taken.fetch_sub(1, Relaxed);
        self.0.shard.total.give_back();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn anywhere(_shard: usize) -> bool {
        true
    }

    #[test]
    fn a_shard_that_cannot_take_one_over_is_passed_by() {
        let slots = ConnectionSlots::new(9, 3);
        let placed = [[1, 2].as_slice(), &[1, 2], &[0, 1, 2], &[]].map(|room| {
            let place = slots.try_reserve().expect("below the limit");
            let slot = place.place(None, |shard| room.contains(&shard));
            let shard = slot.shard();
            std::mem::forget(slot);
            shard
        });
        assert_eq!(placed, [1, 2, 0, 0]);
    }

    #[test]
    fn places_go_to_the_shard_with_the_fewest_and_come_back_when_dropped() {
        let slots = ConnectionSlots::new(3, 2);
        let [a, b, c] = std::array::from_fn(|_| {
            slots.try_reserve().expect("below the limit").place(None, anywhere)
        });
        assert_eq!((a.shard(), b.shard(), c.shard()), (0, 1, 0));
        assert!(slots.try_reserve().is_none());
        drop(b);
        assert_eq!(slots.connections(), 2);
        assert_eq!(slots.try_reserve().map(|place| place.place(None, anywhere).shard()), Some(1));
        drop((a, c));
        assert_eq!((slots.taken(), slots.connections()), (0, 0));
    }

    #[test]
    fn a_reservation_is_no_connection_and_chooses_its_shard_when_one_comes() {
        let slots = ConnectionSlots::new(3, 2);
        let reserved = slots.try_reserve().expect("below the limit");
        assert_eq!((slots.taken(), slots.connections()), (1, 0));
        let other = slots.try_reserve().expect("below the limit").place(None, anywhere);
        assert_eq!((other.shard(), reserved.place(None, anywhere).shard()), (0, 1));
        assert_eq!(slots.taken(), 1, "one was dropped");
    }

    #[test]
    fn where_there_are_many_a_few_in_a_row_go_to_the_same_shard() {
        let slots = ConnectionSlots::new(10_000, 3);
        let place = || slots.try_reserve().expect("below the limit").place(None, |_| true);
        let mut held: Vec<_> = (0..9_000).map(|_| place()).collect();
        let shards: Vec<_> = held.drain(6_000..).map(|slot| slot.shard()).collect();
        let runs = shards.chunk_by(|one, next| one == next).map(<[_]>::len);
        let longest = runs.clone().max().unwrap_or_default();
        assert!((2..=2 * SAME_SHARD_RUN_MAX).contains(&longest), "{longest}");
        assert!(runs.count() < shards.len() / 8);
        for shard in 0..3 {
            assert!(slots.by_shard(shard).abs_diff(2_000) <= SAME_SHARD_RUN_MAX, "{shard}");
        }
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_is_freed() {
        let slots = ConnectionSlots::new(1, 1);
        let first = slots.reserve().await.place(None, anywhere);
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.reserve().await }
        });
        tokio::task::yield_now().await;
        drop(first);
        drop(waiting.await.expect("no panic"));
        slots.all_free().await;
    }

    async fn waits(slots: &Arc<ConnectionSlots>) -> bool {
        timeout(Duration::from_millis(1), slots.reserve()).await.is_err()
    }

    #[tokio::test(start_paused = true)]
    async fn a_raised_limit_lets_in_who_waits() {
        let slots = ConnectionSlots::new(1, 1);
        let _first = slots.reserve().await.place(None, anywhere);
        let mut waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.reserve().await }
        });
        assert!(timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        slots.set_limit(2);
        assert_eq!(slots.limit(), 2);
        drop(timeout(Duration::from_millis(1), waiting).await.expect("woken").expect("no panic"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lowered_limit_closes_nobody_and_lets_none_in_until_enough_have_gone() {
        let slots = ConnectionSlots::new(4, 2);
        let mut open = Vec::new();
        for _ in 0..4 {
            open.push(slots.reserve().await.place(None, anywhere));
        }
        slots.set_limit(2);
        assert_eq!((slots.connections(), slots.limit()), (4, 2));
        for left in [3, 2] {
            open.pop();
            assert!(waits(&slots).await, "{left} are open");
        }
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.reserve().await.place(None, anywhere) }
        });
        tokio::task::yield_now().await;
        open.pop();
        let _let_in = timeout(Duration::from_millis(1), waiting).await.expect("woken");
        assert!(waits(&slots).await, "2 are open again");
    }
}
