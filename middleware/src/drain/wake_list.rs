//! The wakers of a shard's connections, and when each is to be woken next: a data structure without a
//! lock and without a clock.

use std::{collections::BTreeMap, task::Waker};

use slab::Slab;

use crate::clock::Nanos;

/// The wakers of connections that have parked, each under a key.
///
/// *Costs*: 32 bytes a connection. Connections that are to be woken at the same moment, as many are
/// because deadlines are rounded, form a linked list through their entries, so setting, moving and
/// removing a time takes a search among the moments, not among the connections.
#[derive(Default)]
pub(super) struct WakeList {
    entries: Slab<Entry>,
    /// The first entry of each moment's list.
    moments: BTreeMap<Nanos, u32>,
}

struct Entry {
    waker: Waker,
    /// When it is to be woken; [`NEVER`] while it is in no list.
    at: Nanos,
    previous: u32,
    next: u32,
}

const NEVER: Nanos = Nanos(u64::MAX);

/// No neighbour in the list.
const NONE: u32 = u32::MAX;

impl WakeList {
    /// Adds a waker and returns its key: one of the lowest that are free, far below 2³².
    pub(super) fn insert(&mut self, waker: Waker) -> u32 {
        self.entries.insert(Entry { waker, at: NEVER, previous: NONE, next: NONE }) as u32
    }

    /// Replaces the waker of a key; its time stays.
    pub(super) fn replace(&mut self, key: u32, waker: Waker) {
        self.entry(key).waker = waker;
    }

    /// Removes a key with its time.
    pub(super) fn remove(&mut self, key: u32) {
        self.unset(key);
        self.entries.remove(key as usize);
    }

    /// Wakes those with keys in `keys`.
    pub(super) fn wake(&self, keys: std::ops::Range<u64>) {
        // A drain of all is a range without an end.
        let end = usize::try_from(keys.end).unwrap_or(usize::MAX).min(self.entries.capacity());
        let start = usize::try_from(keys.start).unwrap_or(usize::MAX);
        (start..end).filter_map(|key| self.entries.get(key)).for_each(|e| e.waker.wake_by_ref());
    }

    /// A number above every key.
    pub(super) fn keys_end(&self) -> usize {
        self.entries.capacity()
    }

    /// The highest key, plus one.
    pub(super) fn keys(&self) -> u64 {
        self.entries.iter().next_back().map_or(0, |(highest, _)| highest as u64 + 1)
    }

    /// Sets when a key is to be woken, in place of the time it had. Returns whether that is before all
    /// others.
    pub(super) fn set(&mut self, key: u32, at: Nanos) -> bool {
        if self.entry(key).at != at {
            self.unset(key);
            let next = self.moments.insert(at, key).unwrap_or(NONE);
            if let Some(next) = self.entries.get_mut(next as usize) {
                next.previous = key;
            }
            let entry = self.entry(key);
            (entry.at, entry.previous, entry.next) = (at, NONE, next);
        }
        self.next().is_some_and(|first| first == at)
    }

    fn unset(&mut self, key: u32) {
        let entry = self.entry(key);
        let (at, previous, next) = (entry.at, entry.previous, entry.next);
        if at == NEVER {
            return;
        }
        (entry.at, entry.previous, entry.next) = (NEVER, NONE, NONE);
        if let Some(entry) = self.entries.get_mut(next as usize) {
            entry.previous = previous;
        }
        if let Some(entry) = self.entries.get_mut(previous as usize) {
            entry.next = next;
        } else if next == NONE {
            self.moments.remove(&at);
        } else {
            self.moments.insert(at, next);
        }
    }

    /// When the next one is to be woken.
    pub(super) fn next(&self) -> Option<Nanos> {
        self.moments.first_key_value().map(|(at, _)| *at)
    }

    /// Wakes those whose time has come, up to `max` of them, and forgets their times.
    pub(super) fn wake_due(&mut self, now: Nanos, max: usize) {
        for _ in 0..max {
            match self.moments.first_key_value() {
                Some((at, &key)) if *at <= now => {
                    self.unset(key);
                    self.entry(key).waker.wake_by_ref();
                }
                _ => return,
            }
        }
    }

    fn entry(&mut self, key: u32) -> &mut Entry {
        &mut self.entries[key as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeMap,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
    };

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn an_entry_takes_32_bytes() {
        assert_eq!(size_of::<Entry>(), 32);
    }

    proptest! {
        /// Against a map from key to time.
        #[test]
        fn each_key_is_woken_once_at_the_time_that_was_set_last(
            steps in prop::collection::vec((0_u32..6, 0_u64..40, 0..4_u8), 0..200),
        ) {
            let counters: Vec<Arc<Counter>> = (0..6).map(|_| Arc::default()).collect();
            let mut list = WakeList::default();
            for counter in &counters {
                list.insert(counter.clone().into());
            }
            let (mut times, mut woken, mut now) = (BTreeMap::new(), [0; 6], 0);
            for (key, number, step) in steps {
                match step {
                    0 => {
                        now += number;
                        list.wake_due(Nanos(now), usize::MAX);
                        times.retain(|&key: &u32, &mut at| {
                            let due = at <= now;
                            woken[key as usize] += usize::from(due);
                            !due
                        });
                    }
                    1 => {
                        // The lowest free key is the one that was removed.
                        list.remove(key);
                        times.remove(&key);
                        prop_assert_eq!(list.insert(counters[key as usize].clone().into()), key);
                    }
                    _ => {
                        let first = list.set(key, Nanos(now + number));
                        times.insert(key, now + number);
                        prop_assert_eq!(first, times.values().all(|&at| at >= now + number));
                    }
                }
                prop_assert_eq!(list.next(), times.values().min().copied().map(Nanos));
                prop_assert_eq!(list.moments.is_empty(), times.is_empty());
            }
            let counted: Vec<_> = counters.iter().map(|counter| counter.0.load(Relaxed)).collect();
            prop_assert_eq!(counted, woken);
        }
    }
}
