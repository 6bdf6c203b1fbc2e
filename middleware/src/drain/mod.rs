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
//! assert_eq!(served.await.unwrap(), CloseReason::Drain);
//! # }
//! ```

mod entry;
mod timers;
mod wake_list;

use std::{fmt, sync::PoisonError};

use sync::{Arc, AtomicU64, Mutex, MutexGuard, Ordering};

pub(crate) use self::entry::{WakerIdentity, WakerKey};
pub use self::{
    entry::{Registration, WakeEntry},
    timers::Timers,
};
use self::{timers::Driver, wake_list::WakeList};

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
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
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
        self.is_draining_key(WakerKey::NONE)
    }

    /// Whether the connection with this key should finish. One load of memory that is hardly ever written.
    #[inline]
    pub(crate) fn is_draining_key(&self, key: WakerKey) -> bool {
        let drain_below = |shared: &Arc<DrainState>| shared.drain_below.load(Ordering::Relaxed);
        self.shared.as_ref().is_some_and(|shared| u64::from(key.0) < drain_below(shared))
    }

    /// Removes a waker from the list.
    pub(crate) fn remove(&self, key: WakerKey) {
        if let Some(shared) = &self.shared
            && key != WakerKey::NONE
        {
            shared.wakers().list.remove(key.0);
        }
    }

    /// Waits until it is time to finish.
    pub async fn draining(&self) {
        let mut registration = self.registration();
        std::future::poll_fn(|cx| {
            let mut entry = registration.entry();
            let now = entry.register(cx.waker()) || self.is_draining_key(*entry.key);
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
