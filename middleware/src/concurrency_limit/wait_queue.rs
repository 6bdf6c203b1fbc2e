//! Calls that wait for a permit.

use std::task::Waker;

use slab::Slab;

/// Waiting calls in the order of their arrival, each at most once.
///
/// A list through a slab, so that a call leaves from anywhere in constant time: when a server ends, tens of
/// thousands of calls may leave in any order, and each does so under the semaphore's lock.
#[derive(Debug)]
pub(super) struct WaitQueue {
    waiters: Slab<Waiter>,
    first: usize,
    last: usize,
}

#[derive(Debug)]
enum Waiter {
    Waiting {
        waker: Waker,
        previous: usize,
        next: usize,
    },
    /// A permit was acquired for this call. It has left the list, and takes the permit when it is polled.
    Granted,
}

/// No waiter.
const NONE: usize = usize::MAX;

impl WaitQueue {
    pub(super) const fn new() -> Self {
        Self { waiters: Slab::new(), first: NONE, last: NONE }
    }

    /// Whether no call waits. Calls with a permit that they have not taken yet do not wait.
    pub(super) const fn is_empty(&self) -> bool {
        self.first == NONE
    }

    /// Adds a call at the end and returns its key.
    pub(super) fn push(&mut self, waker: Waker) -> usize {
        let previous = self.last;
        let key = self.waiters.insert(Waiter::Waiting { waker, previous, next: NONE });
        *self.next_of(previous) = key;
        self.last = key;
        key
    }

    /// Grants the first call a permit and returns its waker.
    pub(super) fn grant_first(&mut self) -> Option<Waker> {
        let waiter = self.waiters.get_mut(self.first)?;
        let Waiter::Waiting { waker, next, .. } = std::mem::replace(waiter, Waiter::Granted) else {
            return None;
        };
        self.first = next;
        *self.previous_of(next) = NONE;
        Some(waker)
    }

    /// Takes the permit that the call was granted, after which its key is free. Until then `waker` will be
    /// woken.
    pub(super) fn take_granted(&mut self, key: usize, waker: &Waker) -> bool {
        match &mut self.waiters[key] {
            Waiter::Waiting { waker: known, .. } => {
                known.clone_from(waker);
                false
            }
            Waiter::Granted => {
                self.waiters.remove(key);
                true
            }
        }
    }

    /// Removes a call. Returns whether it had been granted a permit.
    pub(super) fn remove(&mut self, key: usize) -> bool {
        match self.waiters.remove(key) {
            Waiter::Granted => true,
            Waiter::Waiting { previous, next, .. } => {
                *self.next_of(previous) = next;
                *self.previous_of(next) = previous;
                false
            }
        }
    }

    /// The link to what follows `key`: without one, to the first waiter.
    fn next_of(&mut self, key: usize) -> &mut usize {
        match self.waiters.get_mut(key) {
            Some(Waiter::Waiting { next, .. }) => next,
            _ => &mut self.first,
        }
    }

    /// The link to what precedes `key`: without one, to the last waiter.
    fn previous_of(&mut self, key: usize) -> &mut usize {
        match self.waiters.get_mut(key) {
            Some(Waiter::Waiting { previous, .. }) => previous,
            _ => &mut self.last,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::Wake,
    };

    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// A waker that writes down which call was woken.
    struct Woken(usize, Arc<AtomicUsize>);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.1.store(self.0, Relaxed);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Grant,
        /// Of the calls that are in the queue, the one at this place, counted round.
        Remove(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step =
            prop_oneof![Just(Step::Push), Just(Step::Grant), any::<usize>().prop_map(Step::Remove)];
        vec(step, 0..200)
    }

    proptest! {
        /// Beside a queue that is searched.
        #[test]
        fn calls_are_granted_permits_in_the_order_of_those_that_still_wait(steps in steps()) {
            let (mut queue, mut model) = (WaitQueue::new(), VecDeque::new());
            let woken = Arc::new(AtomicUsize::new(0));
            for (call, step) in steps.into_iter().enumerate() {
                match step {
                    Step::Push => {
                        let waker = Waker::from(Arc::new(Woken(call, woken.clone())));
                        model.push_back((call, queue.push(waker)));
                    }
                    Step::Grant => {
                        let granted = queue.grant_first().map(|waker| {
                            waker.wake();
                            woken.load(Relaxed)
                        });
                        let first = model.pop_front();
                        prop_assert_eq!(granted, first.map(|(call, _)| call));
                        if let Some((_, key)) = first {
                            prop_assert!(queue.take_granted(key, Waker::noop()));
                        }
                    }
                    Step::Remove(at) if !model.is_empty() => {
                        let (_, key) = model.remove(at % model.len()).expect("it is in the queue");
                        prop_assert!(!queue.remove(key));
                    }
                    Step::Remove(_) => {}
                }
                prop_assert_eq!(queue.is_empty(), model.is_empty());
            }
        }
    }
}
