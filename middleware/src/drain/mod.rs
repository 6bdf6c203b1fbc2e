//! How connections learn that they should finish.
//!
//! One [`channel`] a shard. Each connection registers its task's waker once, not at every park; the
//! signal sets a flag that running connections read at their next batch, and wakes the parked ones. A
//! shared notification list would cost every park a lock; this costs a connection 48 bytes and a park a
//! comparison. The same list wakes connections at their next deadline, as [`Timers`] has it, and its keys are
//! the slots of the table of [connections](crate::connections).
//!
//! ```
//! use towline_middleware::{Echo, LinesBatchCodec, drain, serve_connection, stats::CloseReason};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (signal, watch) = drain::channel();
//! let (client, server) = tokio::io::duplex(64);
//! let served = serve_connection(server, LinesBatchCodec::new(99), Echo, watch);
//! signal.drain();
//! drop(client);
//! assert_eq!(served.await.unwrap(), CloseReason::Drain);
//! # }
//! ```

mod entry;
mod timers;
mod wake_list;

use std::{fmt, sync::PoisonError, task::Waker, time::Duration};

use sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

pub(crate) use self::entry::{WakerIdentity, WakerKey};
pub use self::{
    entry::{Registration, WakeEntry},
    timers::Timers,
};
use self::{timers::Driver, wake_list::WakeList};
use crate::{
    clock::Nanos,
    connections::{Chunks, ConnectionId, ConnectionRow, PeerAddress, Rows},
    stats::CloseReason,
};

/// The types that the model checker replaces with its own; see `tests/loom.rs`.
mod sync {
    #[cfg(towline_loom)]
    pub(super) use loom::sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
    #[cfg(not(towline_loom))]
    pub(super) use std::sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
struct DrainState {
    /// Connections with a key below this drain; and [`ASKED`].
    drain_below: AtomicU64,
    /// The rows of `wakers`, which need no lock.
    rows: Chunks,
    wakers: Mutex<Wakers>,
}

/// The wakers of connections, and of the task that wakes them at their deadlines.
#[derive(Default)]
struct Wakers {
    list: WakeList,
    driver: Driver,
    rows: Rows,
}

/// Above every key.
const ALL: u64 = ASKED - 1;

/// In `drain_below`: some connections were asked to close, as their rows say.
const ASKED: u64 = 1 << 63;

impl Default for DrainState {
    fn default() -> Self {
        let wakers = Wakers::default();
        let rows = wakers.rows.chunks();
        Self { drain_below: AtomicU64::new(0), rows, wakers: Mutex::new(wakers) }
    }
}

impl DrainState {
    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        // No code that can panic runs under this lock.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether connections with this key drain.
    fn drains(&self, key: WakerKey) -> bool {
        u64::from(key.0) < self.drain_below.load(Ordering::Relaxed) & !ASKED
    }
}

/// Makes a connected pair.
pub fn channel() -> (Signal, Watch) {
    let shared = Arc::new(DrainState::default());
    (Signal { shared: shared.clone() }, Watch { shared: Some(shared) })
}

/// The sending half.
#[derive(Clone)]
pub struct Signal {
    shared: Arc<DrainState>,
}

impl Signal {
    /// Signals every connection, open now or in future, to finish. Idempotent.
    pub fn drain(&self) {
        self.drain_below(|_| ALL);
    }

    /// Signals a share of the open connections, from 0 to 1, to finish; other connections, and later ones, go
    /// on. A larger share includes the smaller ones before it. End with [`drain`](Self::drain), which also
    /// reaches connections that never parked.
    pub fn drain_share(&self, share: f64) {
        self.drain_below(|list| (list.keys() as f64 * share) as u64);
    }

    fn drain_below(&self, key: impl FnOnce(&WakeList) -> u64) {
        let wakers = self.shared.wakers();
        let until = key(&wakers.list);
        // Before the wake-ups: a connection that registers later checks it under the same lock. Written
        // under the lock alone.
        let before = self.shared.drain_below.load(Ordering::SeqCst);
        let from = before & !ASKED;
        self.shared.drain_below.store(from.max(until) | before & ASKED, Ordering::SeqCst);
        wakers.list.wake(from..until);
    }
}

impl Signal {
    /// Every open connection whose lines are counted, in no particular order, each as it is when it is read. No
    /// connection is disturbed.
    ///
    /// *Costs*: a cache line a connection on the calling thread.
    pub fn connections(&self, now: Nanos) -> impl Iterator<Item = ConnectionRow> {
        self.shared.rows.read_all(now, |slot| self.long_address(slot))
    }

    fn long_address(&self, slot: u32) -> PeerAddress {
        self.shared.wakers().rows.long_address(slot)
    }

    /// Asks one connection to finish as in a drain: what was read is answered, and the close counts as
    /// `reason`. Returns `false` if it has ended. A later reason changes nothing.
    ///
    /// A connection whose peer takes no replies, or whose service does not answer, goes on until that or a
    /// deadline ends it: see [`close_at_once`](Self::close_at_once).
    pub fn close(&self, id: ConnectionId, reason: CloseReason) -> bool {
        self.ask(id, reason, false)
    }

    /// As [`close`](Self::close), for a connection that waits for its peer or its service: that call is
    /// dropped, and unsent replies are lost.
    pub fn close_at_once(&self, id: ConnectionId, reason: CloseReason) -> bool {
        self.ask(id, reason, true)
    }

    /// Asks connections that are older than `age`, give or take a tenth of it, to finish as in a drain, counted as
    /// [`CloseReason::MaxAge`]. Looks at about a thousand, the `part`-th, and asks `max` of them at most. Returns how
    /// many it asked, or `None` behind the last part.
    ///
    /// *Costs*: microseconds. Let other tasks run between two parts.
    pub fn close_older(&self, part: usize, age: Duration, now: Nanos, max: usize) -> Option<usize> {
        let old = self.shared.rows.older(part, age, now, max)?;
        Some(old.into_iter().filter(|id| self.close(*id, CloseReason::MaxAge)).count())
    }

    fn ask(&self, id: ConnectionId, reason: CloseReason, at_once: bool) -> bool {
        let mut wakers = self.shared.wakers();
        let is_open = wakers.rows.request_close(id, reason, at_once);
        if is_open {
            // Before the wake-up, as in a drain.
            let before = self.shared.drain_below.load(Ordering::SeqCst);
            self.shared.drain_below.store(before | ASKED, Ordering::SeqCst);
            wakers.list.wake(u64::from(id.slot)..u64::from(id.slot) + 1);
        }
        is_open
    }

    /// Numbers connections from `serial` on, instead of from 1.
    pub fn number_from(&self, serial: u32) {
        self.shared.wakers().rows.number_from(serial);
    }
}

/// Connections that one call of [`Signal::wake_from`] wakes.
const WAKES_AT_ONCE: usize = 256;

impl Signal {
    /// Wakes up to 256 parked connections with keys from `from` on, so that they load changed settings,
    /// such as [`HeartbeatLayer::set_deadlines`](crate::heartbeat::HeartbeatLayer::set_deadlines).
    ///
    /// Returns the key from which to go on, or `None` when all were woken. Begin with 0, and let other tasks
    /// run between two calls.
    pub fn wake_from(&self, from: usize) -> Option<usize> {
        let wakers = self.shared.wakers();
        let until = from + WAKES_AT_ONCE;
        wakers.list.wake(from as u64..until as u64);
        (until < wakers.list.keys_end()).then_some(until)
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signal")
            .field("drain_below", &self.shared.drain_below)
            .finish_non_exhaustive()
    }
}

/// The receiving half, cloned for each connection.
#[derive(Clone)]
pub struct Watch {
    shared: Option<Arc<DrainState>>,
}

impl Watch {
    /// A watch that never signals.
    pub const fn never() -> Self {
        Self { shared: None }
    }

    /// Whether all connections should finish.
    #[inline]
    pub fn is_draining(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.drains(WakerKey::NONE))
    }

    /// Whether the connection with this key should finish, because of a drain or because it was asked. One
    /// load of memory that is hardly ever written.
    #[inline]
    pub(crate) fn is_finishing(&self, key: WakerKey) -> bool {
        let Some(shared) = &self.shared else { return false };
        u64::from(key.0) < shared.drain_below.load(Ordering::Relaxed)
            && self.finish_reason(key).is_some()
    }

    /// Why the connection with this key should finish.
    #[cold]
    pub(crate) fn finish_reason(&self, key: WakerKey) -> Option<CloseReason> {
        let shared = self.shared.as_ref()?;
        if shared.drains(key) { Some(CloseReason::Drain) } else { shared.rows.close_reason(key.0) }
    }

    /// Why the connection with this key should end without waiting for anything.
    #[inline]
    pub(crate) fn close_at_once(&self, key: WakerKey) -> Option<CloseReason> {
        let shared = self.shared.as_ref()?;
        let asked = shared.drain_below.load(Ordering::Relaxed) & ASKED != 0;
        if asked { shared.rows.close_at_once(key.0) } else { None }
    }

    /// Opens a row, and with it a place in the list of wakers. Without a signal there is none.
    pub(crate) fn open(&self, at: Nanos) -> WakerKey {
        let Some(shared) = &self.shared else { return WakerKey::NONE };
        let mut wakers = shared.wakers();
        // Replaced when the connection parks for the first time.
        let key = wakers.list.insert(Waker::noop().clone());
        wakers.rows.open(key, at);
        WakerKey(key)
    }

    /// The rows of its connections, if it signals.
    #[inline]
    pub(crate) fn rows(&self) -> Option<&Chunks> {
        self.shared.as_ref().map(|shared| &shared.rows)
    }

    /// The row of an open connection.
    pub(crate) fn row(&self, key: WakerKey, now: Nanos) -> Option<ConnectionRow> {
        self.shared.as_ref()?.wakers().rows.read(key.0, now)
    }

    /// Sets the address of a connection's peer in its row.
    pub(crate) fn set_peer(&self, key: WakerKey, peer: PeerAddress) {
        if let Some(shared) = &self.shared {
            shared.wakers().rows.set_peer(key.0, peer);
        }
    }

    /// Removes a waker from the list, and the row if there is one.
    pub(crate) fn remove(&self, key: WakerKey) {
        if let Some(shared) = &self.shared
            && key != WakerKey::NONE
        {
            let mut wakers = shared.wakers();
            if wakers.rows.free(key.0) {
                let before = shared.drain_below.load(Ordering::SeqCst);
                shared.drain_below.store(before & !ASKED, Ordering::SeqCst);
            }
            wakers.list.remove(key.0);
        }
    }

    /// Waits until it is time to finish.
    pub async fn draining(&self) {
        let mut registration = self.registration();
        std::future::poll_fn(|cx| {
            let mut entry = registration.entry();
            let now = entry.register(cx.waker())
                || self.shared.as_ref().is_some_and(|shared| shared.drains(*entry.key));
            if now { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Room for one task's waker.
    #[doc(hidden)]
    pub fn registration(&self) -> Registration {
        Registration::new(self.clone())
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("draining", &self.is_draining()).finish()
    }
}
