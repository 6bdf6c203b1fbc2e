//! One task's place in the list of wakers.

use std::{fmt, task::Waker};

use super::{Watch, sync::Ordering};
use crate::clock::Nanos;

/// The key of a waker in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WakerKey(pub(crate) u32);

impl WakerKey {
    /// Before the first registration: above all others.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// What two wakers of one task share, and a task's waker with no other living waker: its data and its
/// vtable. It stands for the waker in the list, without holding a second one.
///
/// The address of a task that is gone is met again only after its last waker is gone, and what a connection
/// skips for a task that it knows needs such a waker to be there: the one in the list, or, without a list,
/// the one in the timer that is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WakerIdentity(usize);

impl WakerIdentity {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn of(waker: &Waker) -> Self {
        Self::of_parts(waker.data() as usize, std::ptr::from_ref(waker.vtable()) as usize)
    }

    #[inline]
    const fn of_parts(data: usize, vtable: usize) -> Self {
        // Two tasks of different kinds have one identity only if they lie a multiple of 32 GiB apart. By a
        // plain sum those have that lie as far apart as their vtables, some hundred bytes.
        Self(data.wrapping_add(vtable.rotate_left(usize::BITS / 2)))
    }
}

/// The place of one task's waker in the list. The two parts are borrowed, because a connection stores them
/// where they need no padding.
#[doc(hidden)]
#[derive(Debug)]
pub struct WakeEntry<'a> {
    pub(crate) watch: &'a Watch,
    pub(crate) key: &'a mut WakerKey,
    pub(crate) registered: &'a mut WakerIdentity,
}

impl WakeEntry<'_> {
    /// Makes sure that `waker` will be woken. Returns whether it is time to finish already.
    #[inline]
    pub(crate) fn register(&mut self, waker: &Waker) -> bool {
        *self.registered != WakerIdentity::of(waker) && self.register_slow(waker)
    }

    #[cold]
    fn register_slow(&mut self, waker: &Waker) -> bool {
        *self.registered = WakerIdentity::of(waker);
        let Some(shared) = &self.watch.shared else { return false };
        let mut wakers = shared.wakers();
        match *self.key {
            // Bounded by the connections of a process, far below 2³².
            WakerKey::NONE => *self.key = WakerKey(wakers.list.insert(waker.clone())),
            key => wakers.list.replace(key.0, waker.clone()),
        }
        // A connection that was asked to close before it could be woken, too.
        u64::from(self.key.0) < shared.drain_below.load(Ordering::SeqCst)
    }

    /// Has `waker` woken at `at`, in place of the time that was set before. Returns `false` if no
    /// [`Timers`] run that would do so.
    pub(crate) fn wake_at(&mut self, waker: &Waker, at: Nanos) -> bool {
        let Some(shared) = &self.watch.shared else { return false };
        if !shared.wakers().driver.runs() {
            return false;
        }
        self.register(waker);
        let mut wakers = shared.wakers();
        if wakers.list.set(self.key.0, at) {
            wakers.driver.wake_before(at);
        }
        true
    }
}

/// One waker in the list, removed when dropped.
#[doc(hidden)]
pub struct Registration {
    watch: Watch,
    key: WakerKey,
    registered: WakerIdentity,
}

impl Registration {
    /// Room for one task's waker.
    pub(super) const fn new(watch: Watch) -> Self {
        Self { watch, key: WakerKey::NONE, registered: WakerIdentity::NONE }
    }

    /// The place, to register the task or to set its time.
    pub fn entry(&mut self) -> WakeEntry<'_> {
        let Self { watch, key, registered } = self;
        WakeEntry { watch, key, registered }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.watch.remove(self.key);
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("watch", &self.watch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The identity was the sum of the two addresses. A connection that moved from a task to one of another
    /// kind as far away as their vtables was taken for registered, and slept through the drain.
    #[test]
    fn tasks_of_two_kinds_as_far_apart_as_their_vtables_are_told_apart() {
        let (task, vtable) = (0x7f3c_5000_1000, 0x5581_c000_4000);
        for apart in (0..0x10_0000).step_by(8).skip(1) {
            let other = WakerIdentity::of_parts(task + apart, vtable - apart);
            assert_ne!(WakerIdentity::of_parts(task, vtable), other);
        }
    }
}
