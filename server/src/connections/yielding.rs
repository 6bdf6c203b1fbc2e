//! Long work beside threads that serve lines.

use std::thread;

/// Items between two yields: some tens of microseconds.
const ITEMS: u32 = 256;

/// The same items, with the processor offered to other threads now and then.
///
/// The kernel lets a thread run for its whole slice, some milliseconds, however urgent the others are that become
/// ready meanwhile: a client whose shard waits for the processor would see that. *Costs*: a system call for some
/// hundred items.
pub fn yielding<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut count = 0_u32;
    items.inspect(move |_| {
        count = count.wrapping_add(1);
        if count.is_multiple_of(ITEMS) {
            thread::yield_now();
        }
    })
}
