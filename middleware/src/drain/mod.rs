//! How connections learn that they should finish.
//!
//! One [`channel`] a shard. Each connection registers its task's waker once, not at every park; the
//! signal sets a flag that running connections read at their next batch, and wakes the parked ones. A
//! shared notification list would cost every park a lock; this costs a connection 48 bytes and a park a
//! comparison. The same list wakes connections at their next deadline, as [`Timers`] has it.
//!
//! ```
//! use towline_middleware::{Echo, LinesBatchCodec, drain, serve_connection, stats::CloseReason};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (signal, watch) = drain::channel();
//! let (client, server) = tokio::io::duplex(64);
//! let served = serve_connection(server, LinesBatchCodec::new(99), Echo, watch);
//! signal.drain();
//! drop(client);
//! assert_eq!(served.await, CloseReason::Drain);
//! # }
//! ```

mod timers;
mod wake_list;

use std::{fmt, sync::PoisonError, task::Waker};

use sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

pub use self::timers::Timers;
use self::{timers::Driver, wake_list::WakeList};
use crate::clock::Nanos;

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

#[derive(Default)]
struct DrainState {
    /// Connections with a key below this drain.
    drain_below: AtomicU64,
    wakers: Mutex<Wakers>,
}

/// The wakers of connections that have parked, and of the task that wakes them at their deadlines.
#[derive(Default)]
struct Wakers {
    list: WakeList,
    driver: Driver,
}

/// Above every key.
const ALL: u64 = u64::MAX;

impl DrainState {
    fn wakers(&self) -> MutexGuard<'_, Wakers> {
        // No code that can panic runs under this lock.
        self.wakers.lock().unwrap_or_else(PoisonError::into_inner)
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
        // Before the wake-ups: a connection that registers later checks it under the same lock.
        let from = self.shared.drain_below.fetch_max(until, Ordering::SeqCst);
        wakers.list.wake(from..until);
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
        self.is_draining_key(UNREGISTERED)
    }

    /// Whether the connection with this key should finish. One load of memory that is hardly ever written.
    #[inline]
    fn is_draining_key(&self, key: u32) -> bool {
        let drain_below = |shared: &Arc<DrainState>| shared.drain_below.load(Ordering::Relaxed);
        self.shared.as_ref().is_some_and(|shared| u64::from(key) < drain_below(shared))
    }

    /// Waits until it is time to finish.
    pub async fn draining(&self) {
        let mut registration = self.registration();
        std::future::poll_fn(|cx| {
            let now = registration.register(cx.waker()) || registration.is_draining();
            if now { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        })
        .await;
    }

    /// Room for one connection's waker.
    #[doc(hidden)]
    pub fn registration(&self) -> Registration {
        Registration { watch: self.clone(), key: UNREGISTERED, registered: 0 }
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("draining", &self.is_draining()).finish()
    }
}

/// One connection's waker in the list, removed when dropped.
#[doc(hidden)]
pub struct Registration {
    watch: Watch,
    key: u32,
    /// Identity of the registered waker, without holding a second one.
    registered: usize,
}

/// The key before the first registration: above all others.
const UNREGISTERED: u32 = u32::MAX;

/// What two wakers of one task share, and a task's waker with no other living waker: its data and its
/// vtable.
fn identity(waker: &Waker) -> usize {
    (waker.data() as usize).wrapping_add(std::ptr::from_ref(waker.vtable()) as usize)
}

impl Registration {
    #[inline]
    pub(crate) fn is_draining(&self) -> bool {
        self.watch.is_draining_key(self.key)
    }

    /// Whether this waker is the one that was registered last.
    #[inline]
    pub(crate) fn is_registered(&self, waker: &Waker) -> bool {
        self.registered == identity(waker)
    }

    /// Makes sure that `waker` will be woken. Returns whether it is time to finish already.
    #[inline]
    pub(crate) fn register(&mut self, waker: &Waker) -> bool {
        !self.is_registered(waker) && self.register_slow(waker)
    }

    #[cold]
    fn register_slow(&mut self, waker: &Waker) -> bool {
        self.registered = identity(waker);
        let Some(shared) = &self.watch.shared else { return false };
        let mut wakers = shared.wakers();
        match self.key {
            // Bounded by the connections of a process, far below 2³².
            UNREGISTERED => self.key = wakers.list.insert(waker.clone()),
            key => wakers.list.replace(key, waker.clone()),
        }
        u64::from(self.key) < shared.drain_below.load(Ordering::SeqCst)
    }

    /// Has `waker` woken at `at`, in place of the time that was set before. Returns `false` if no
    /// [`Timers`] run that would do so.
    pub(crate) fn wake_at(&mut self, waker: &Waker, at: Nanos) -> bool {
        let Some(shared) = self.watch.shared.clone() else { return false };
        if !shared.wakers().driver.runs() {
            return false;
        }
        self.register(waker);
        let mut wakers = shared.wakers();
        if wakers.list.set(self.key, at) {
            wakers.driver.wake_before(at);
        }
        true
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        if let Some(shared) = &self.watch.shared
            && self.key != UNREGISTERED
        {
            shared.wakers().list.remove(self.key);
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("watch", &self.watch).finish_non_exhaustive()
    }
}
