//! Slots for connections: the limit of all connections, and how many each shard has.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed, Ordering::SeqCst},
    },
};

use tokio::sync::{Notify, futures::Notified};

use towline_config::ConnectionLog;

use super::client_limits::ClientLimits;
use crate::{
    closed::ClosedConnections,
    counts::{Handshakes, ProcessPlace},
    hooks::ServiceErrorHook,
};

#[cfg(test)]
mod tests;

/// Shards within this fraction of the least loaded count as equally loaded.
const EQUAL_LOAD_FRACTION: usize = 64;

/// Most connections in a row for one shard while another has fewer.
const SAME_SHARD_RUN_MAX: usize = 32;

/// The connection slots of a server, and how many of them each shard has taken.
///
/// A slot is reserved before a connection is accepted, assigned to a shard when the connection has
/// arrived ([`ConnectionSlot`]), and free again when that is dropped.
#[derive(Debug)]
pub struct ConnectionSlots {
    total: Arc<Total>,
    by_shard: Box<[Arc<SlotHolder>]>,
    /// The shard that got the last connection.
    last: AtomicUsize,
}

/// What all shards share.
#[derive(Debug)]
struct Total {
    limit: AtomicUsize,
    taken: AtomicUsize,
    /// Notified when a slot is freed and when the limit changes.
    freed: Notify,
    /// What the program does with an error that ends a connection. It is found by the slot, because a field
    /// of the connection would move its task from 512 to 640 bytes.
    on_service_error: Option<ServiceErrorHook>,
    /// Where connections end, for the same reason.
    closed: ClosedConnections,
    /// The limits of client addresses.
    clients: ClientLimits,
    /// And where their TLS handshakes are counted.
    handshakes: Handshakes,
}

#[derive(Debug)]
struct ShardSlots {
    index: usize,
    taken: AtomicUsize,
    total: Arc<Total>,
}

/// What a [`ConnectionSlot`] points to: one holder for all untagged connections of a shard, or a
/// holder of its own for a connection with a tag.
#[derive(Debug)]
struct SlotHolder {
    shard: Arc<ShardSlots>,
    tag: Option<ConnectionTag>,
}

/// A guard that ends with one particular connection: the count of its address, or the report of its
/// end to the supervisor.
///
/// It lives behind the slot's pointer. A field of the connection would move the connection's task
/// from 512 to 640 bytes, limit or no limit.
pub type ConnectionTag = Box<dyn fmt::Debug + Send + Sync>;

/// One slot below the limit, held for a connection that has yet to arrive; freed when dropped.
#[derive(Debug)]
pub struct Reservation {
    slots: Arc<ConnectionSlots>,
}

/// A connection's slot on a shard, freed when dropped. One pointer wide, because every connection
/// carries it.
#[derive(Debug)]
pub struct ConnectionSlot(Arc<SlotHolder>);

impl ConnectionSlots {
    /// `limit` slots over `shards` shards.
    pub fn new(limit: usize, shards: usize) -> Arc<Self> {
        let closed = ClosedConnections::new(shards, ProcessPlace::default(), ConnectionLog::Off);
        Self::of_serving(limit, shards, None, closed)
    }

    /// As [`new`](Self::new), for connections that are served in this process. Their service errors are handed to
    /// `on_service_error`, and they end in `closed`.
    pub fn of_serving(
        limit: usize,
        shards: usize,
        on_service_error: Option<ServiceErrorHook>,
        closed: ClosedConnections,
    ) -> Arc<Self> {
        let (limit, taken) = (AtomicUsize::new(limit), AtomicUsize::new(0));
        let total = Arc::new(Total {
            limit,
            taken,
            freed: Notify::new(),
            on_service_error,
            closed,
            clients: ClientLimits::default(),
            handshakes: Handshakes::default(),
        });
        let untagged_holder = |index| {
            let (taken, total) = (AtomicUsize::new(0), total.clone());
            Arc::new(SlotHolder { shard: Arc::new(ShardSlots { index, taken, total }), tag: None })
        };
        let last = AtomicUsize::new(0);
        Arc::new(Self { by_shard: (0..shards).map(untagged_holder).collect(), total, last })
    }

    /// Where connections end.
    pub fn closed(&self) -> &ClosedConnections {
        &self.total.closed
    }

    /// The limits of client addresses.
    pub fn clients(&self) -> &ClientLimits {
        &self.total.clients
    }

    /// Where TLS handshakes are counted.
    #[cfg(feature = "admin")]
    pub(crate) fn handshakes(&self) -> &Handshakes {
        &self.total.handshakes
    }

    /// The most connections, reservations included.
    pub fn limit(&self) -> usize {
        self.total.limit.load(SeqCst)
    }

    /// Changes the limit at once. A limit below the current count closes nothing; new connections
    /// wait until it is met.
    pub fn set_limit(&self, limit: usize) {
        self.total.limit.store(limit, SeqCst);
        self.total.freed.notify_waiters();
    }

    /// Slots that are not free: connections and reservations.
    pub fn taken(&self) -> usize {
        self.total.taken.load(SeqCst)
    }

    /// Connections that have arrived, without reservations.
    pub fn connections(&self) -> usize {
        (0..self.shards()).map(|shard| self.by_shard(shard)).sum()
    }

    /// Connections of one shard.
    pub fn by_shard(&self, shard: usize) -> usize {
        self.by_shard[shard].shard.taken.load(Relaxed)
    }

    /// The number of shards.
    pub fn shards(&self) -> usize {
        self.by_shard.len()
    }

    /// Reserves a slot, or returns `None` at the limit.
    ///
    /// Only the acceptor reserves slots, so the check and the increment need not be one step.
    pub fn try_reserve(self: &Arc<Self>) -> Option<Reservation> {
        if self.taken() >= self.limit() {
            return None;
        }
        self.total.taken.fetch_add(1, SeqCst);
        Some(Reservation { slots: self.clone() })
    }

    /// Waits for a free slot and reserves it.
    pub async fn reserve(self: &Arc<Self>) -> Reservation {
        loop {
            // Registered before the check, so that a slot freed in between is not missed.
            let freed = self.total.freed.notified();
            if let Some(reservation) = self.try_reserve() {
                return reservation;
            }
            freed.await;
        }
    }

    /// Moves a connection that its shard did not take to another shard, with its tag.
    pub fn reassign(&self, mut slot: ConnectionSlot, shard: usize) -> ConnectionSlot {
        // `get_mut` fails only for a shared holder, which has no tag.
        let tag = Arc::get_mut(&mut slot.0).and_then(|holder| holder.tag.take());
        self.take(&self.by_shard[shard], tag)
    }

    /// Takes one more slot on a shard.
    fn take(&self, untagged: &Arc<SlotHolder>, tag: Option<ConnectionTag>) -> ConnectionSlot {
        untagged.shard.taken.fetch_add(1, Relaxed);
        self.total.taken.fetch_add(1, SeqCst);
        ConnectionSlot(match tag {
            None => untagged.clone(),
            tag => Arc::new(SlotHolder { shard: untagged.shard.clone(), tag }),
        })
    }

    /// Waits until a slot is freed after this call; a slot freed before the first poll counts.
    pub fn changed(&self) -> Notified<'_> {
        self.total.freed.notified()
    }

    /// Waits until every slot is free.
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
    /// Assigns the slot of a connection that has arrived to the shard with the fewest connections
    /// among those that have room. The acceptor accepts only when a shard has room; if none has any
    /// more, all shards have ended and any will do.
    ///
    /// With many connections the shard that got the last one gets up to [`SAME_SHARD_RUN_MAX`] in a
    /// row: one wake-up of its thread, or process, then serves for several.
    pub fn assign(
        self,
        tag: Option<ConnectionTag>,
        has_room: impl Fn(usize) -> bool,
    ) -> ConnectionSlot {
        let ConnectionSlots { by_shard, last, .. } = &*self.slots;
        let taken = |holder: &SlotHolder| holder.shard.taken.load(Relaxed);
        let fewest =
            by_shard.iter().min_by_key(|holder| (!has_room(holder.shard.index), taken(holder)));
        let mut chosen = fewest.expect("a server has at least one shard");
        let previous = &by_shard[last.load(Relaxed)];
        let equal = taken(chosen) + (taken(chosen) / EQUAL_LOAD_FRACTION).min(SAME_SHARD_RUN_MAX);
        if taken(previous) < equal && has_room(previous.shard.index) {
            chosen = previous;
        }
        last.store(chosen.shard.index, Relaxed);
        // `take` counts the slot again; dropping `self` takes the reservation's count back.
        self.slots.take(chosen, tag)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.slots.total.free_one();
    }
}

impl Total {
    fn free_one(&self) {
        self.taken.fetch_sub(1, SeqCst);
        // There are few waiters (the acceptor, a drain, the worker's control session), and each
        // registers before it checks, so none needs a stored permit.
        self.freed.notify_waiters();
    }
}

impl ConnectionSlot {
    /// The shard it is on.
    pub fn shard(&self) -> usize {
        self.0.shard.index
    }

    /// What the program does with an error that ends the connection.
    pub(crate) fn on_service_error(&self) -> Option<&ServiceErrorHook> {
        self.0.shard.total.on_service_error.as_ref()
    }

    /// Where its TLS handshake is counted.
    pub(crate) fn handshakes(&self) -> &Handshakes {
        &self.0.shard.total.handshakes
    }

    /// Where the connection ends.
    pub(crate) fn closed(&self) -> &ClosedConnections {
        &self.0.shard.total.closed
    }

    /// The limits of client addresses.
    pub(crate) fn clients(&self) -> &ClientLimits {
        &self.0.shard.total.clients
    }

    /// The slot with one more tag, that of a client which was not known when the connection was accepted.
    pub(crate) fn tagged(mut self, tag: ConnectionTag) -> Self {
        // `get_mut` fails only for a shared holder, which has no tag.
        if let Some(holder) = Arc::get_mut(&mut self.0) {
            holder.tag = Some(match holder.tag.take() {
                Some(first) => Box::new((first, tag)),
                None => tag,
            });
        } else {
            let shard = self.0.shard.clone();
            self.0 = Arc::new(SlotHolder { shard, tag: Some(tag) });
        }
        self
    }

    /// Whether the connection has a tag of its own.
    pub fn is_tagged(&self) -> bool {
        self.0.tag.is_some()
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        // The shard first: when all slots are free, no shard counts a connection.
        self.0.shard.taken.fetch_sub(1, Relaxed);
        self.0.shard.total.free_one();
    }
}
