//! Which connections hold buffers that only their clients can free, largest first, then oldest.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
};

use slab::Slab;

/// A connection that holds no more than this is not a holder: it costs the server less than its own
/// state, and most lines that wait for their service are shorter.
pub(crate) const HOLDER_BYTES_MIN: usize = 128;

/// No entry, in the links of a list.
const NO_HOLDER: u32 = u32::MAX;

/// While holders hold less than this part of the limit, closing them would free little, and what is in
/// service fills the rest.
const HELD_SHARE: usize = 8;

/// What tells a connection from every other that is open: the address of its entry in the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct HolderId(pub(crate) usize);

/// Powers of two of held bytes.
const CLASSES: usize = u32::BITS as usize;

/// The holders of one shard: an unfinished line or unsent replies of more than [`HOLDER_BYTES_MIN`].
///
/// A connection enters the back of the list of its class, the power of two of what it holds, when its
/// class changes; so each list is in the order of age and the next to evict is found in constant time.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    /// What all holders hold, for readers without the lock.
    bytes: AtomicUsize,
    evicted: AtomicU64,
    lists: Mutex<Lists>,
}

#[derive(Debug)]
struct Lists {
    keys: HashMap<HolderId, u32>,
    entries: Slab<Holder>,
    classes: [Ends; CLASSES],
    /// What holders hold that were woken to close and have not closed yet.
    leaving_bytes: usize,
}

#[derive(Debug)]
struct Holder {
    bytes: u32,
    waker: Waker,
    /// Woken to close, and in no list.
    evicted: bool,
    previous: u32,
    next: u32,
}

/// The ends of a class's list.
#[derive(Debug, Clone, Copy)]
struct Ends {
    oldest: u32,
    newest: u32,
}

impl Default for Lists {
    fn default() -> Self {
        let empty = Ends { oldest: NO_HOLDER, newest: NO_HOLDER };
        Self {
            keys: HashMap::new(),
            entries: Slab::new(),
            classes: [empty; CLASSES],
            leaving_bytes: 0,
        }
    }
}

const fn class(bytes: u32) -> usize {
    match bytes.checked_ilog2() {
        Some(class) => class as usize,
        None => 0,
    }
}

impl Holders {
    /// Bytes that holders hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// Holders that were woken to close, in total.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Relaxed)
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        // No code that can panic runs under this lock.
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records what a connection holds. Returns whether it was evicted.
    pub(super) fn update(&self, id: HolderId, bytes: u32, waker: &Waker) -> bool {
        let mut lists = self.lists();
        let Some(&key) = lists.keys.get(&id) else {
            let (previous, next) = (NO_HOLDER, NO_HOLDER);
            let holder = Holder { bytes, waker: waker.clone(), evicted: false, previous, next };
            // Bounded by the connections of a process, far below 2³².
            let key = lists.entries.insert(holder) as u32;
            lists.keys.insert(id, key);
            lists.push(key);
            self.bytes.fetch_add(bytes as usize, Relaxed);
            return false;
        };
        let holder = &mut lists.entries[key as usize];
        let (before, evicted) = (holder.bytes, holder.evicted);
        // Dropped after the lock: the last waker of a task drops the task.
        let stale = (!holder.waker.will_wake(waker))
            .then(|| std::mem::replace(&mut holder.waker, waker.clone()));
        if evicted {
            lists.leaving_bytes = lists.leaving_bytes - before as usize + bytes as usize;
            lists.entries[key as usize].bytes = bytes;
        } else if class(before) != class(bytes) {
            lists.unlink(key);
            lists.entries[key as usize].bytes = bytes;
            lists.push(key);
        } else {
            lists.entries[key as usize].bytes = bytes;
        }
        // Wraps around: the sum is right.
        self.bytes.fetch_add((bytes as usize).wrapping_sub(before as usize), Relaxed);
        drop(lists);
        drop(stale);
        evicted
    }

    /// Removes a connection that holds nothing any more.
    pub(super) fn remove(&self, id: HolderId) {
        let mut lists = self.lists();
        let Some(key) = lists.keys.remove(&id) else { return };
        let holder = &lists.entries[key as usize];
        let (bytes, evicted) = (holder.bytes as usize, holder.evicted);
        if evicted {
            lists.leaving_bytes -= bytes;
        } else {
            lists.unlink(key);
        }
        let holder = lists.entries.remove(key as usize);
        self.bytes.fetch_sub(bytes, Relaxed);
        drop(lists);
        drop(holder);
    }

    /// Wakes holders to close, the largest first and among those of a class the oldest, until what is
    /// left of `buffered_bytes` is at most `bytes_max`, or holders have little of it.
    pub(super) fn evict(&self, buffered_bytes: usize, bytes_max: usize) {
        let mut lists = self.lists();
        let above = |lists: &Lists| {
            buffered_bytes.saturating_sub(lists.leaving_bytes) > bytes_max
                && self.bytes().saturating_sub(lists.leaving_bytes) > bytes_max / HELD_SHARE
        };
        while above(&lists) && lists.evict_one() {
            self.evicted.fetch_add(1, Relaxed);
        }
    }

    /// Bytes of holders that were woken to close and have not run since.
    pub(super) fn leaving_bytes(&self) -> usize {
        self.lists().leaving_bytes
    }

    /// Evicts the holder `id` if other holders are evicted and have not run yet, and no holder that is left is in a
    /// larger class. Returns whether it did.
    ///
    /// Called by a connection that finds the limit exceeded: each that runs before the evicted ones could add to
    /// the excess.
    pub(super) fn evict_itself(&self, id: HolderId) -> bool {
        let mut lists = self.lists();
        if lists.leaving_bytes == 0 {
            return false;
        }
        let Some(&key) = lists.keys.get(&id) else { return false };
        let class = class(lists.entries[key as usize].bytes);
        if lists.classes[class + 1..].iter().any(|ends| ends.oldest != NO_HOLDER) {
            return false;
        }
        lists.mark_evicted(key);
        self.evicted.fetch_add(1, Relaxed);
        true
    }
}

impl Lists {
    fn evict_one(&mut self) -> bool {
        let Some(ends) = self.classes.iter().rev().find(|ends| ends.oldest != NO_HOLDER) else {
            return false;
        };
        let key = ends.oldest;
        self.mark_evicted(key);
        self.entries[key as usize].waker.wake_by_ref();
        true
    }

    /// Takes an entry out of its list: it is about to close.
    fn mark_evicted(&mut self, key: u32) {
        self.unlink(key);
        let holder = &mut self.entries[key as usize];
        holder.evicted = true;
        self.leaving_bytes += holder.bytes as usize;
    }

    /// Appends an entry to the list of its class.
    fn push(&mut self, key: u32) {
        let ends = &mut self.classes[class(self.entries[key as usize].bytes)];
        let last = std::mem::replace(&mut ends.newest, key);
        if last == NO_HOLDER {
            ends.oldest = key;
        } else {
            self.entries[last as usize].next = key;
        }
        let holder = &mut self.entries[key as usize];
        (holder.previous, holder.next) = (last, NO_HOLDER);
    }

    /// Takes an entry out of the list of its class.
    fn unlink(&mut self, key: u32) {
        let &Holder { bytes, previous, next, .. } = &self.entries[key as usize];
        let ends = &mut self.classes[class(bytes)];
        if previous == NO_HOLDER {
            ends.oldest = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        let ends = &mut self.classes[class(bytes)];
        if next == NO_HOLDER {
            ends.newest = previous;
        } else {
            self.entries[next as usize].previous = previous;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{Arc, atomic::AtomicBool},
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    /// A holder as the list should know it: what it holds, when it entered its class.
    struct Model {
        bytes: u32,
        since: usize,
        woken: Arc<Woken>,
    }

    fn bytes() -> impl Strategy<Value = u32> {
        (0_u32..20).prop_flat_map(|class| (1_u32 << class)..=(1 << class) * 2 - 1)
    }

    proptest! {
        /// Whatever connections hold and let go, an eviction takes from the largest class first, there
        /// from the oldest, and takes no more than is needed.
        #[test]
        fn fault_17_holders_are_evicted_by_class_then_by_age_and_no_more_than_needed(
            changes in prop::collection::vec((0_usize..12, prop::option::weighted(0.8, bytes())), 1..80),
            others_bytes in 0_usize..100_000,
            bytes_max in 0_usize..3_000_000,
        ) {
            let holders = Holders::default();
            let mut model: BTreeMap<usize, Model> = BTreeMap::new();
            for (at, (who, bytes)) in changes.into_iter().enumerate() {
                match (model.remove(&who), bytes) {
                    (None, None) => {}
                    (Some(_), None) => holders.remove(HolderId(who)),
                    (old, Some(bytes)) => {
                        let woken = old.as_ref().map_or_else(Arc::default, |old| old.woken.clone());
                        let waker = woken.clone().into();
                        prop_assert!(!holders.update(HolderId(who), bytes, &waker));
                        let since = old
                            .filter(|old| class(old.bytes) == class(bytes))
                            .map_or(at, |old| old.since);
                        model.insert(who, Model { bytes, since, woken });
                    }
                }
            }
            let held: usize = model.values().map(|holder| holder.bytes as usize).sum();
            prop_assert_eq!(holders.bytes(), held);
            holders.evict(held + others_bytes, bytes_max);
            // Again at once: those that were woken are on their way out, and no other has to go.
            holders.evict(held + others_bytes, bytes_max);

            let mut order: Vec<_> = model.values().collect();
            order.sort_by_key(|holder| (std::cmp::Reverse(class(holder.bytes)), holder.since));
            let mut left = held + others_bytes;
            for holder in order {
                let goes = left > bytes_max && left - others_bytes > bytes_max / HELD_SHARE;
                prop_assert_eq!(holder.woken.0.load(Relaxed), goes);
                if goes {
                    left -= holder.bytes as usize;
                }
            }
            for (&who, holder) in &model {
                let evicted = holder.woken.0.load(Relaxed);
                let waker = holder.woken.clone().into();
                prop_assert_eq!(holders.update(HolderId(who), holder.bytes, &waker), evicted);
                holders.remove(HolderId(who));
            }
            prop_assert_eq!(holders.bytes(), 0);
            prop_assert_eq!(holders.lists().leaving_bytes, 0);
            prop_assert!(!holders.lists().evict_one(), "an entry is left in a list");
        }
    }
}
