//! Messages of a group that are given to its members together.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    ConnId,
    parcel::{GroupParcel, Parcel},
};

/// What a member gets of a round.
#[derive(Debug)]
pub(super) struct Part<'a> {
    /// Where it is in the log of the group.
    pub(super) range: Range<u64>,
    pub(super) messages: u32,
    pub(super) bytes: &'a [u8],
}

/// Messages that follow one another.
pub(super) struct Round {
    pub(super) bytes: Bytes,
    /// Where each message ends, if there is more than one.
    pub(super) ends: Box<[u32]>,
    /// The number of the first.
    first: u64,
    /// Messages that some connection does not get.
    excepted: Vec<(u32, ConnId)>,
}

impl Round {
    /// Joins a message with those behind it that go to the same group.
    pub(super) fn collect(first: GroupParcel, behind: &mut VecDeque<Parcel>) -> Self {
        let bytes_max = first.group.shard().round_bytes_max();
        let GroupParcel { group, number, bytes, except } = first;
        let mut excepted: Vec<_> = except.map(|conn| (0, conn)).into_iter().collect();
        let mut joined = BytesMut::new();
        let mut ends: Vec<u32> = Vec::new();
        while let Some(Parcel::Group(next)) = behind.front()
            && std::sync::Arc::ptr_eq(&next.group, &group)
            && next.number == number + ends.len().max(1) as u64
            && bytes.len().max(joined.len()) + next.bytes.len() <= bytes_max
        {
            if joined.is_empty() {
                joined.extend_from_slice(&bytes);
                ends.push(joined.len() as u32);
            }
            joined.extend_from_slice(&next.bytes);
            excepted.extend(next.except.map(|conn| (ends.len() as u32, conn)));
            ends.push(joined.len() as u32);
            behind.pop_front();
        }
        let bytes = if joined.is_empty() { bytes } else { joined.freeze() };
        Self { bytes, ends: ends.into(), first: number, excepted }
    }

    /// The parts of the round that a member gets, each with its number of messages.
    pub(super) fn parts_for(
        &self,
        id: ConnId,
        since: u64,
    ) -> impl Iterator<Item = (Range<u64>, u32)> {
        let messages = self.ends.len().max(1) as u32;
        let skipped =
            u32::try_from(since.saturating_sub(self.first)).unwrap_or(u32::MAX).min(messages);
        let mut at = skipped;
        let mut excepted = self.excepted.iter().filter(move |(_, conn)| *conn == id);
        let mut next_gap = move |at: u32| {
            excepted.by_ref().map(|(message, _)| *message).find(|message| *message >= at)
        };
        let mut done = false;
        std::iter::from_fn(move || {
            while !done {
                let gap = next_gap(at);
                let from = at;
                let until = gap.unwrap_or(messages);
                done = gap.is_none();
                at = until + 1;
                if from < until {
                    return Some((self.start_of(from)..self.start_of(until), until - from));
                }
            }
            None
        })
    }

    /// Where a message begins.
    fn start_of(&self, message: u32) -> u64 {
        match message {
            0 => 0,
            _ => match self.ends.get(message as usize - 1) {
                Some(&end) => u64::from(end),
                None => self.bytes.len() as u64,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{protocol::Lf, push::Conn};

    #[test]
    fn a_member_gets_what_was_sent_since_it_joined_without_its_own_words() {
        let (ann, bob) = (Conn::<Lf>::new(None).id(), Conn::<Lf>::new(None).id());
        // Four messages of 2, 3, 4 and 1 bytes, numbered from 10; the second and the last are Ann's.
        let round = Round {
            bytes: Bytes::from_static(b"aabbbccccd"),
            ends: [2, 5, 9, 10].into(),
            first: 10,
            excepted: vec![(1, ann), (3, ann)],
        };
        let parts = |id, since| round.parts_for(id, since).collect::<Vec<_>>();
        assert_eq!(parts(bob, 0), [(0..10, 4)]);
        assert_eq!(parts(bob, 12), [(5..10, 2)]);
        assert_eq!(parts(bob, 14), []);
        assert_eq!(parts(ann, 0), [(0..2, 1), (5..9, 1)]);
        assert_eq!(parts(ann, 11), [(5..9, 1)]);
        assert_eq!(parts(ann, 13), []);
    }

    #[test]
    fn a_single_message_is_a_round() {
        let id = Conn::<Lf>::new(None).id();
        let (bytes, ends) = (Bytes::from_static(b"hello\n"), Box::default());
        let round = Round { bytes, ends, first: 3, excepted: Vec::new() };
        assert_eq!(round.parts_for(id, 3).collect::<Vec<_>>(), [(0..6, 1)]);
        assert_eq!(round.parts_for(id, 4).collect::<Vec<_>>(), []);
    }
}
