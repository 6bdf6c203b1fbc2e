//! Messages of a group that are given to its members together.

use std::{collections::VecDeque, ops::Range};

use bytes::{Bytes, BytesMut};

use super::{
    ConnId,
    parcel::{GroupParcel, Parcel},
};
use crate::thread_context::block_pool::BLOCK_BYTES;

/// Bytes of a round at most, unless it is one message: what one write takes.
const ROUND_BYTES_MAX: usize = BLOCK_BYTES;

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
        let GroupParcel { group, number, bytes, except } = first;
        let mut excepted: Vec<_> = except.map(|conn| (0, conn)).into_iter().collect();
        let mut joined = BytesMut::new();
        let mut ends: Vec<u32> = Vec::new();
        while let Some(Parcel::Group(next)) = behind.front()
            && std::sync::Arc::ptr_eq(&next.group, &group)
            && next.number == number + ends.len().max(1) as u64
            && bytes.len().max(joined.len()) + next.bytes.len() <= ROUND_BYTES_MAX
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
