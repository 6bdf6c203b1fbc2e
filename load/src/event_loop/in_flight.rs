//! Send times of the lines in flight: a short queue of (time, lines) per connection, in one arena.
//!
//! Lines sent by one write share an entry, so a window of 100 lines usually costs one entry. Freed
//! entries are reused; once the arena has reached its peak it allocates nothing.

/// The queue of one connection: indices of its first and last entry in [`SendTimes`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct InFlight {
    first: u32,
    last: u32,
}

impl Default for InFlight {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

/// The arena: the entries of all queues of an event loop.
#[derive(Debug)]
pub(crate) struct SendTimes {
    entries: Vec<Entry>,
    free: u32,
}

#[derive(Debug)]
struct Entry {
    sent_at: u64,
    lines: u32,
    next: u32,
}

const NONE: u32 = u32::MAX;

impl SendTimes {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: NONE }
    }

    /// Appends `lines` sent at `sent_at` to a queue.
    #[inline]
    pub(crate) fn push(&mut self, in_flight: &mut InFlight, sent_at: u64, lines: u32) {
        let entry = Entry { sent_at, lines, next: NONE };
        let index = if self.free == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let index = self.free;
            let slot = &mut self.entries[index as usize];
            self.free = slot.next;
            *slot = entry;
            index
        };
        if in_flight.first == NONE {
            in_flight.first = index;
        } else {
            self.entries[in_flight.last as usize].next = index;
        }
        in_flight.last = index;
    }

    /// Removes the `lines` sent first. Calls `each` for every entry affected, with its send time, the
    /// number of lines removed, and whether the entry is used up.
    #[inline]
    pub(crate) fn pop(
        &mut self,
        in_flight: &mut InFlight,
        mut lines: u64,
        mut each: impl FnMut(u64, u64, bool),
    ) {
        while lines > 0 && in_flight.first != NONE {
            let index = in_flight.first;
            let entry = &mut self.entries[index as usize];
            let taken = lines.min(u64::from(entry.lines));
            entry.lines -= taken as u32;
            lines -= taken;
            each(entry.sent_at, taken, entry.lines == 0);
            if entry.lines == 0 {
                in_flight.first = entry.next;
                entry.next = self.free;
                self.free = index;
            }
        }
    }

    /// The send time of the oldest line.
    pub(crate) fn oldest(&self, in_flight: InFlight) -> Option<u64> {
        self.entries.get(in_flight.first as usize).map(|entry| entry.sent_at)
    }

    /// Removes all lines of a queue.
    pub(crate) fn clear(&mut self, in_flight: &mut InFlight) {
        self.pop(in_flight, u64::MAX, |_, _, _| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_leave_in_the_order_they_were_sent() {
        let mut send_times = SendTimes::new();
        let (mut a, mut b) = (InFlight::default(), InFlight::default());
        send_times.push(&mut a, 10, 2);
        send_times.push(&mut b, 11, 1);
        send_times.push(&mut a, 20, 3);
        let mut seen = Vec::new();
        send_times.pop(&mut a, 3, |at, lines, last| seen.push((at, lines, last)));
        assert_eq!(seen, [(10, 2, true), (20, 1, false)]);
        assert_eq!((send_times.oldest(a), send_times.oldest(b)), (Some(20), Some(11)));
        send_times.clear(&mut a);
        assert_eq!(send_times.oldest(a), None);
        send_times.push(&mut a, 30, 1);
        assert_eq!(send_times.entries.len(), 3, "freed entries are used again");
    }
}
