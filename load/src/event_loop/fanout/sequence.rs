//! Whether each subscriber receives the messages of each publisher once and in order.

use std::collections::HashMap;
use std::ops::Range;

/// Ranges of missing messages remembered for each pair of a subscriber and a publisher. Further ones stay
/// missing although they may come late.
const GAPS_MAX: usize = 256;

/// The number of the next message for each pair, and the messages that were left out.
#[derive(Debug)]
pub(super) struct Sequences {
    publishers: usize,
    next: Vec<u64>,
    gaps: HashMap<usize, Vec<Range<u64>>>,
    /// Missing messages of ranges that are not remembered.
    lost: u64,
}

/// A message by its place in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// It is the next one.
    Next,
    /// It is a later one: this many before it have not come.
    Skipped(u64),
    /// It comes after a later one.
    Late,
    /// It has come before.
    Twice,
}

impl Sequences {
    pub(super) fn new(members: usize, publishers: usize) -> Self {
        Self { publishers, next: vec![0; members * publishers], gaps: HashMap::new(), lost: 0 }
    }

    /// The number of the next message for a member from a publisher.
    pub(super) fn next(&self, member: usize, publisher: u32) -> u64 {
        self.next[member * self.publishers + publisher as usize]
    }

    /// Notes that a message was received.
    #[inline]
    pub(super) fn receive(&mut self, member: usize, publisher: u32, number: u64) -> Order {
        let pair = member * self.publishers + publisher as usize;
        let next = &mut self.next[pair];
        if number == *next {
            *next += 1;
            return Order::Next;
        }
        if number < *next {
            return self.receive_earlier(pair, number);
        }
        let skipped = *next..number;
        *next = number + 1;
        let count = skipped.end - skipped.start;
        let gaps = self.gaps.entry(pair).or_default();
        if gaps.len() < GAPS_MAX {
            gaps.push(skipped);
        } else {
            self.lost += count;
        }
        Order::Skipped(count)
    }

    /// Messages that were left out before a later one, and have not come since.
    pub(super) fn skipped(&self) -> u64 {
        let remembered = self.gaps.values().flatten().map(|gap| gap.end - gap.start);
        self.lost + remembered.sum::<u64>()
    }

    #[cold]
    fn receive_earlier(&mut self, pair: usize, number: u64) -> Order {
        let Some(gaps) = self.gaps.get_mut(&pair) else { return Order::Twice };
        let Some(at) = gaps.iter().position(|gap| gap.contains(&number)) else {
            return Order::Twice;
        };
        let gap = gaps[at].clone();
        gaps[at].end = number;
        let after = number + 1..gap.end;
        if gaps[at].is_empty() {
            gaps[at] = after;
            if gaps[at].is_empty() {
                gaps.swap_remove(at);
            }
        } else if !after.is_empty() {
            if gaps.len() < GAPS_MAX {
                gaps.push(after);
            } else {
                self.lost += after.end - after.start;
            }
        }
        Order::Late
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_late_and_repeated_messages_are_told_apart() {
        let mut all = Sequences::new(2, 3);
        let mut receive = |number| all.receive(1, 2, number);
        assert_eq!(receive(0), Order::Next);
        assert_eq!(receive(5), Order::Skipped(4));
        assert_eq!(receive(5), Order::Twice);
        assert_eq!(receive(3), Order::Late);
        assert_eq!(receive(3), Order::Twice);
        assert_eq!(receive(1), Order::Late);
        assert_eq!(receive(6), Order::Next);
        assert_eq!(receive(0), Order::Twice);
        assert_eq!((all.skipped(), all.next(1, 2), all.next(0, 2)), (2, 7, 0));
        assert_eq!(all.receive(0, 2, 0), Order::Next, "another member");
    }

    #[test]
    fn no_number_of_gaps_takes_unbounded_memory() {
        let mut all = Sequences::new(1, 1);
        for number in (1..10_000).step_by(2) {
            assert_eq!(all.receive(0, 0, number), Order::Skipped(1));
        }
        assert_eq!(all.skipped(), 5000);
        assert_eq!(all.gaps[&0].len(), GAPS_MAX);
    }
}
