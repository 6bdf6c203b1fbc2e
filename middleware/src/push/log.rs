//! What was sent to a group and is not taken by all of its members on a shard: each byte once.

use std::{collections::BTreeMap, ops::Range};

use bytes::{Bytes, BytesMut};

use crate::clock::Nanos;

/// A sequence of rounds, addressed by the position of each byte since the group began. What waits for a member is
/// a range of it.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// By the position of the first byte.
    rounds: BTreeMap<u64, Round>,
    end: u64,
}

/// Messages that were sent one after another, as they are written.
#[derive(Debug)]
struct Round {
    bytes: Bytes,
    /// Where each message ends, if there is more than one.
    ends: Box<[u32]>,
    /// Ranges that reach into it and are not taken.
    left: u32,
    at: Nanos,
}

/// What keeps a round while it is given to members, beside the members themselves.
const DELIVERING: u32 = 1 << 31;

/// What was taken off a range.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Advanced {
    pub(super) bytes: usize,
    /// Messages that end in it.
    pub(super) messages: u32,
    /// When its round was made.
    pub(super) at: Nanos,
    /// The range goes on inside of a message.
    pub(super) inside: bool,
    /// Bytes that nothing waits for any more.
    pub(super) freed_bytes: usize,
}

impl Round {
    fn messages(&self) -> u32 {
        self.ends.len().max(1) as u32
    }

    /// Messages that end in the first `bytes`.
    fn messages_until(&self, bytes: u64) -> u32 {
        if bytes >= self.bytes.len() as u64 {
            return self.messages();
        }
        self.ends.partition_point(|&end| u64::from(end) <= bytes) as u32
    }
}

impl Log {
    /// Appends a round, which stays until [`delivered`](Self::delivered) is called and its members have taken it.
    pub(super) fn append(&mut self, bytes: Bytes, ends: Box<[u32]>, at: Nanos) -> Range<u64> {
        let start = self.end;
        self.end += bytes.len() as u64;
        self.rounds.insert(start, Round { bytes, ends, left: DELIVERING, at });
        start..self.end
    }

    /// Says how many ranges reach into the round at `start`. Returns the bytes that are free with that.
    pub(super) fn delivered(&mut self, start: u64, ranges: u32) -> usize {
        let Some(round) = self.rounds.get_mut(&start) else { return 0 };
        round.left = round.left.wrapping_add(ranges).wrapping_sub(DELIVERING);
        if round.left == 0 { self.remove(start) } else { 0 }
    }

    /// What the round at the beginning of `range` has of it; nothing if the range is empty.
    pub(super) fn piece(&self, range: &Range<u64>) -> Bytes {
        match self.rounds.range(..=range.start).next_back() {
            Some((start, round)) if !range.is_empty() => {
                let from = range.start - start;
                let until = (range.end - start).min(round.bytes.len() as u64);
                round.bytes.slice(from as usize..until as usize)
            }
            _ => Bytes::new(),
        }
    }

    /// Copies the pieces of a range, as many as `out` has room for. Returns whether that was all.
    pub(super) fn copy_to(&self, range: &Range<u64>, out: &mut BytesMut) -> bool {
        let mut rest = range.clone();
        while !rest.is_empty() {
            let piece = self.piece(&rest);
            if piece.is_empty() || out.len() + piece.len() > out.capacity() {
                return false;
            }
            out.extend_from_slice(&piece);
            rest.start += piece.len() as u64;
        }
        true
    }

    /// Records that a range has no more of the round in which `at` lies. Returns the bytes that are free with that.
    pub(super) fn release(&mut self, at: u64) -> usize {
        let Some((&start, round)) = self.rounds.range_mut(..=at).next_back() else { return 0 };
        round.left = round.left.wrapping_sub(1);
        if round.left == 0 { self.remove(start) } else { 0 }
    }

    fn remove(&mut self, start: u64) -> usize {
        self.rounds.remove(&start).map_or(0, |round| round.bytes.len())
    }

    /// Leaves out whole messages from the beginning of `range`, until `bytes` are left out or nothing is left.
    pub(super) fn leave_out(&mut self, range: &mut Range<u64>, bytes: u64) -> LeftOut {
        let until = range.start.saturating_add(bytes);
        let mut left_out = LeftOut::default();
        while range.start < range.end && range.start < until {
            let Some((&start, round)) = self.rounds.range(..=range.start).next_back() else {
                break;
            };
            let end = (start + round.bytes.len() as u64).min(range.end);
            let before = round.messages_until(range.start - start);
            let next = match round.ends.iter().find(|&&at| start + u64::from(at) >= until.min(end))
            {
                Some(&at) => (start + u64::from(at)).min(end),
                None => end,
            };
            left_out.messages += round.messages_until(next - start) - before;
            left_out.bytes += (next - range.start) as usize;
            if next == end {
                left_out.freed_bytes += self.release(range.start);
            }
            range.start = next;
        }
        left_out
    }

    /// Where the message ends in which `at` lies, or `at` if that is where one begins.
    pub(super) fn message_end(&self, at: u64) -> u64 {
        let Some((start, round)) = self.rounds.range(..=at).next_back() else { return at };
        if at == *start || at >= start + round.bytes.len() as u64 {
            return at;
        }
        let ends_before = round.ends.partition_point(|&end| start + u64::from(end) < at);
        match round.ends.get(ends_before) {
            Some(&end) => start + u64::from(end),
            None => start + round.bytes.len() as u64,
        }
    }

    /// Records that a range was cut in two at `at`: if that is inside of a round, both reach into it.
    pub(super) fn cut(&mut self, at: u64) {
        if let Some((start, round)) = self.rounds.range_mut(..=at).next_back()
            && *start < at
            && at < start + round.bytes.len() as u64
        {
            round.left = round.left.wrapping_add(1);
        }
    }

    /// Takes `bytes` off the beginning of a range, or as many as the first round has of it.
    pub(super) fn advance(&mut self, range: &mut Range<u64>, bytes: usize) -> Advanced {
        let Some((&start, round)) = self.rounds.range(..=range.start).next_back() else {
            return Advanced { bytes, ..Advanced::default() };
        };
        let from = range.start - start;
        let until = (from + bytes as u64).min(round.bytes.len() as u64).min(range.end - start);
        let messages = round.messages_until(until) - round.messages_until(from);
        let (at, leaves) =
            (round.at, until == round.bytes.len() as u64 || start + until == range.end);
        let freed_bytes = if leaves { self.release(range.start) } else { 0 };
        range.start = start + until;
        let inside = !range.is_empty() && self.message_end(range.start) != range.start;
        Advanced { bytes: (until - from) as usize, messages, at, inside, freed_bytes }
    }

    /// Whether nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.rounds.is_empty()
    }
}

/// What was left out of a range.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) messages: u32,
    pub(super) bytes: usize,
    /// Bytes that nothing waits for any more.
    pub(super) freed_bytes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(log: &mut Log, messages: &[&str]) -> Range<u64> {
        let mut end = 0;
        let ends = messages.iter().map(|message| {
            end += message.len() as u32;
            end
        });
        let ends: Box<[u32]> = ends.collect();
        let ends = if messages.len() > 1 { ends } else { Box::default() };
        log.append(messages.concat().into(), ends, Nanos(0))
    }

    #[test]
    fn a_round_is_free_when_the_last_range_has_passed_it() {
        let mut log = Log::default();
        let first = round(&mut log, &["one\n", "two\n"]);
        let second = round(&mut log, &["three\n"]);
        assert_eq!((log.delivered(first.start, 2), log.delivered(second.start, 1)), (0, 0));
        let (mut one, mut other) = (4..second.end, first.clone());
        assert_eq!(&log.piece(&one)[..], b"two\n");
        let advance = |log: &mut Log, range: &mut Range<u64>, bytes| {
            let Advanced { messages, freed_bytes, .. } = log.advance(range, bytes);
            (messages, freed_bytes)
        };
        assert_eq!(advance(&mut log, &mut one, 3), (0, 0));
        assert_eq!((log.message_end(one.start), log.message_end(one.end)), (8, 14));
        assert_eq!(advance(&mut log, &mut one, 1), (1, 0));
        assert_eq!(advance(&mut log, &mut other, 8), (2, 8));
        assert_eq!(advance(&mut log, &mut one, 6), (1, 6));
        assert!(log.is_empty());
    }

    #[test]
    fn whole_messages_are_left_out_and_counted() {
        let mut log = Log::default();
        let start = round(&mut log, &["aaaa", "bbbb", "cccc"]).start;
        let end = round(&mut log, &["dddd"]).end;
        assert_eq!((log.delivered(0, 1), log.delivered(12, 1)), (0, 0));
        let mut range = start..end;
        let some = log.leave_out(&mut range, 5);
        assert_eq!(some, LeftOut { messages: 2, bytes: 8, freed_bytes: 0 });
        let more = log.leave_out(&mut range, 5);
        assert_eq!(more, LeftOut { messages: 2, bytes: 8, freed_bytes: 16 });
        assert!(range.is_empty() && log.is_empty());
    }
}
