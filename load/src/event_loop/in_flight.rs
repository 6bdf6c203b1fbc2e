//! When the lines in flight were sent: short queues of (time, lines), all in one arena.
//!
//! Lines sent by one write share an entry, so a window of a hundred costs one entry and not a hundred.
//! Freed entries are used again; nothing is allocated once the arena has met its peak.

/// One connection's queue: the arena's indices of its first and last entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flight {
    first: u32,
    last: u32,
}

impl Default for Flight {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

/// The entries of every queue of a lane.
#[derive(Debug)]
pub(crate) struct Flights {
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

impl Flights {
    pub(crate) fn new() -> Self {
        Self { entries: Vec::new(), free: NONE }
    }

    /// Notes that `lines` were sent at `sent_at`.
    #[inline]
    pub(crate) fn push(&mut self, flight: &mut Flight, sent_at: u64, lines: u32) {
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
        if flight.first == NONE {
            flight.first = index;
        } else {
            self.entries[flight.last as usize].next = index;
        }
        flight.last = index;
    }

    /// Takes the `lines` sent first off the queue; `each` hears for every entry touched when it was
    /// sent, how many of its lines were taken, and whether those were its last.
    #[inline]
    pub(crate) fn pop(
        &mut self,
        flight: &mut Flight,
        mut lines: u64,
        mut each: impl FnMut(u64, u64, bool),
    ) {
        while lines > 0 && flight.first != NONE {
            let index = flight.first;
            let entry = &mut self.entries[index as usize];
            let taken = lines.min(u64::from(entry.lines));
            entry.lines -= taken as u32;
            lines -= taken;
            each(entry.sent_at, taken, entry.lines == 0);
            if entry.lines == 0 {
                flight.first = entry.next;
                entry.next = self.free;
                self.free = index;
            }
        }
    }

    /// When the line that waits longest was sent.
    pub(crate) fn oldest(&self, flight: Flight) -> Option<u64> {
        self.entries.get(flight.first as usize).map(|entry| entry.sent_at)
    }

    /// Forgets all lines of a queue.
    pub(crate) fn clear(&mut self, flight: &mut Flight) {
        self.pop(flight, u64::MAX, |_, _, _| ());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_leave_in_the_order_they_were_sent() {
        let mut flights = Flights::new();
        let (mut a, mut b) = (Flight::default(), Flight::default());
        flights.push(&mut a, 10, 2);
        flights.push(&mut b, 11, 1);
        flights.push(&mut a, 20, 3);
        let mut seen = Vec::new();
        flights.pop(&mut a, 3, |at, lines, last| seen.push((at, lines, last)));
        assert_eq!(seen, [(10, 2, true), (20, 1, false)]);
        assert_eq!((flights.oldest(a), flights.oldest(b)), (Some(20), Some(11)));
        flights.clear(&mut a);
        assert_eq!(flights.oldest(a), None);
        flights.push(&mut a, 30, 1);
        assert_eq!(flights.entries.len(), 3, "freed entries are used again");
    }
}
