//! A rate for each of many keys.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::{
    Quota,
    gcra::{Gcra, units},
};

/// Most keys unless [`Quotas::at_most`] says otherwise.
const KEYS_MAX: usize = 100_000;

/// Most keys of a shard, where there are many: as many as a table of 4,096 entries takes. A full shard is
/// searched for the keys to drop, under its lock, in some tens of microseconds.
const SHARD_KEYS: usize = 3_584;

/// Most shards. More keys make the shards larger.
const SHARDS_MAX: usize = 1_024;

/// A full shard drops one in this many of its keys, so that it is searched once for as many new ones.
const DROPPED_PART: usize = 8;

/// A [`Quota`] for each key: an address, a user, a device. Shared by connections and threads, in an `Arc`.
///
/// *Does*: counts what is taken for a key against a quota of its own. *Does not*: read a clock or wait. *Goes*:
/// into an `Arc` in the state of each connection. *Costs*: two hashes of the key and a lock that few threads
/// share, some 50 ns. A key takes the size of `(K, u64)` and a byte, 8/7 to 16/7 times, that is 38 to 76 bytes
/// for an `IpAddr`, beside what `K` itself allocates.
///
/// # Bound
/// At most [`at_most`](Self::at_most) keys are remembered. When there is no room for a new key, keys whose quota is
/// full again are forgotten first, because they would begin with a full one anyway; then the keys whose quota would
/// be full soonest. A key that is forgotten before its quota is full begins with a full one, and
/// [`forgotten`](Self::forgotten) counts it. So with more keys than that the limit does not hold, which matters
/// where a peer can choose its keys freely, such as user names before login.
///
/// ```
/// use std::{net::IpAddr, time::Duration};
/// use tokio::time::Instant;
/// use towline_middleware::rate::{Quota, Quotas};
///
/// let logins = Quotas::new(Quota::per_minute(2)).at_most(10_000);
/// let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
/// let now = Instant::now();
/// assert_eq!((logins.take(&one, now), logins.take(&one, now)), (Ok(()), Ok(())));
/// assert_eq!(logins.take(&one, now), Err(Duration::from_secs(30)));
/// assert_eq!(logins.take(&other, now), Ok(()));
/// ```
pub struct Quotas<K> {
    gcra: Gcra,
    /// Chooses the shard. Keyed at random, so that chosen keys do not meet in one.
    hasher: RandomState,
    shards: Box<[Mutex<Shard<K>>]>,
    shard_keys: usize,
}

/// Some of the keys, and when the quota of each is full.
struct Shard<K> {
    full_at: HashMap<K, u64>,
    forgotten: u64,
}

impl<K: Hash + Eq> Quotas<K> {
    /// Quotas like `quota`, each full at first, for at most 100,000 keys.
    pub fn new(quota: Quota) -> Self {
        Self::sized(quota.into_gcra(), KEYS_MAX)
    }

    /// Remembers at most `keys` keys; 0 is taken as 1. Forgets all keys that it has. Default: 100,000.
    ///
    /// Keys are spread over shards of equal size, so some are forgotten when there are slightly fewer.
    #[must_use]
    pub fn at_most(self, keys: usize) -> Self {
        Self::sized(self.gcra, keys.max(1))
    }

    fn sized(gcra: Gcra, keys: usize) -> Self {
        let shards = keys.div_ceil(SHARD_KEYS).min(SHARDS_MAX);
        let shard = |_| Mutex::new(Shard { full_at: HashMap::new(), forgotten: 0 });
        Self {
            gcra,
            hasher: RandomState::new(),
            shards: (0..shards).map(shard).collect(),
            shard_keys: keys / shards,
        }
    }

    /// Takes one from the quota of `key`, at the time `now`.
    ///
    /// # Errors
    /// The time until one is available, if nothing else is taken meanwhile. Nothing is taken.
    pub fn take<Q>(&self, key: &Q, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        self.take_n(key, 1, now)
    }

    /// Takes `count` from the quota of `key`, or nothing. Taking 0 always succeeds.
    ///
    /// # Errors
    /// The time until `count` are available, if nothing else is taken meanwhile; [`Duration::MAX`] if they never
    /// will be.
    pub fn take_n<Q>(&self, key: &Q, count: u32, now: Instant) -> Result<(), Duration>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let now = units(now);
        self.change(key, now, |full_at| match self.gcra.take(full_at, now, count) {
            Ok(later) => (later, Ok(())),
            Err(wait) => (full_at, Err(wait)),
        })
    }

    /// Takes `count` from the quota of `key` also if fewer are available, and returns how long it takes until nothing is
    /// owed: for input that is there already, and waits before it is served. Of a debt of more than `debt_max` the rest
    /// is forgiven, so no wait is longer.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::time::Instant;
    /// use towline_middleware::rate::{Quota, Quotas};
    ///
    /// let lines = Quotas::new(Quota::per_second(10));
    /// let (now, minute) = (Instant::now(), Duration::from_secs(60));
    /// assert_eq!(lines.owe("a", 10, now, minute), Duration::ZERO);
    /// assert_eq!(lines.owe("a", 5, now, minute), Duration::from_millis(500));
    /// assert_eq!(lines.owe("a", 5, now, minute), Duration::from_secs(1));
    /// assert_eq!(lines.owe("b", 5, now, minute), Duration::ZERO);
    /// ```
    pub fn owe<Q>(&self, key: &Q, count: u32, now: Instant, debt_max: Duration) -> Duration
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let now = units(now);
        self.change(key, now, |full_at| self.gcra.owe(full_at, now, count, debt_max))
    }

    /// Changes the time at which the quota of `key` is full, and returns what `change` says beside it.
    fn change<Q, T>(&self, key: &Q, now: u64, change: impl FnOnce(u64) -> (u64, T)) -> T
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ToOwned<Owned = K> + ?Sized,
    {
        let mut shard = self.shard_of(key);
        if let Some(full_at) = shard.full_at.get_mut(key) {
            let (changed, said) = change(*full_at);
            *full_at = changed;
            return said;
        }
        let (full_at, said) = change(0);
        // A full quota need not be remembered.
        if full_at > now {
            shard.make_room(self.shard_keys, now);
            shard.full_at.insert(key.to_owned(), full_at);
        }
        said
    }

    fn shard_of<Q: Hash + ?Sized>(&self, key: &Q) -> MutexGuard<'_, Shard<K>> {
        // The high half of the product is even over the shards, whatever their number.
        let hash = u128::from(self.hasher.hash_one(key));
        let shard = ((hash * self.shards.len() as u128) >> u64::BITS) as usize;
        lock(&self.shards[shard])
    }

    /// The number of keys that are remembered. *Costs*: a lock a shard, one for every 3,584 keys.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| lock(shard).full_at.len()).sum()
    }

    /// Whether no key is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys were forgotten before their quota was full again. Above zero the bound on keys is too low
    /// for the limit to hold for all of them.
    pub fn forgotten(&self) -> u64 {
        self.shards.iter().map(|shard| lock(shard).forgotten).sum()
    }
}

/// Locks `shard`, also after a panic of `K` while keys were compared: the map is not damaged by it.
fn lock<K>(shard: &Mutex<Shard<K>>) -> MutexGuard<'_, Shard<K>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Hash + Eq> Shard<K> {
    /// Drops keys if there are `keys_max`: keys whose quota is full, and more if these are few.
    fn make_room(&mut self, keys_max: usize, now: u64) {
        if self.full_at.len() < keys_max {
            return;
        }
        self.full_at.retain(|_, full_at| *full_at > now);
        let few = keys_max - keys_max.div_ceil(DROPPED_PART);
        let Some(surplus) = self.full_at.len().checked_sub(few).filter(|&keys| keys > 0) else {
            return;
        };
        let mut times: Vec<u64> = self.full_at.values().copied().collect();
        let (_, &mut last, _) = times.select_nth_unstable(surplus - 1);
        // More than the surplus may be full at the same time as its last one.
        let mut dropped = 0;
        self.full_at.retain(|_, full_at| {
            let kept = *full_at > last || dropped == surplus;
            dropped += usize::from(!kept);
            kept
        });
        self.forgotten += dropped as u64;
    }
}

impl<K> fmt::Debug for Quotas<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys_max = self.shards.len() * self.shard_keys;
        f.debug_struct("Quotas")
            .field("gcra", &self.gcra)
            .field("keys_max", &keys_max)
            .finish_non_exhaustive()
    }
}
