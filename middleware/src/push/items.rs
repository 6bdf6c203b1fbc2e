//! What waits for a connection, in order.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};

use super::{group_shard::GroupShard, shard::PushShard};

/// One thing that waits.
pub(super) enum Item {
    /// Of a group: a range of its log.
    Range {
        /// The members of the group on the shard, and their log.
        group: Arc<GroupShard>,
        /// The key of the member.
        member: u32,
        range: Range<u64>,
    },
    /// A message to this connection alone.
    Message(Bytes),
    /// The end of the connection.
    Close,
}

impl Item {
    /// Bytes of it that wait.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Range { range, .. } => (range.end - range.start) as usize,
            Self::Message(bytes) => bytes.len(),
            Self::Close => 0,
        }
    }

    /// Whether it has no bytes any more, and is not the close.
    pub(super) fn is_empty(&self) -> bool {
        !matches!(self, Self::Close) && self.bytes() == 0
    }

    /// Whether it is of this membership.
    pub(super) fn is_of(&self, group: &Arc<GroupShard>, key: u32) -> bool {
        matches!(self, Self::Range { group: of, member, .. } if Arc::ptr_eq(of, group) && *member == key)
    }

    /// The first bytes of it that lie in one piece.
    pub(super) fn piece(&self) -> Bytes {
        match self {
            Self::Range { group, range, .. } => group.piece(range),
            Self::Message(bytes) => bytes.clone(),
            Self::Close => Bytes::new(),
        }
    }

    /// Copies the beginning of it, as many pieces as there is room for. Returns whether that was all.
    fn copy_to(&self, out: &mut BytesMut) -> bool {
        match self {
            Self::Range { group, range, .. } => group.copy_to(range, out),
            Self::Message(bytes) => {
                let fits = out.len() + bytes.len() <= out.capacity();
                if fits {
                    out.extend_from_slice(bytes);
                }
                fits
            }
            Self::Close => false,
        }
    }

    /// Frees what nothing takes any more. Returns how many messages that were.
    pub(super) fn release(self, shard: &PushShard) -> u32 {
        match self {
            Self::Range { group, mut range, .. } => {
                let bytes = range.end - range.start;
                group.leave_out(&mut range, bytes).messages
            }
            Self::Message(bytes) => {
                shard.free(bytes.len());
                1
            }
            Self::Close => 0,
        }
    }
}

/// A queue whose first item has a place of its own: memory is allocated only when there is a second.
#[derive(Default)]
pub(super) struct Items {
    first: Option<Item>,
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
struct Rest(VecDeque<Item>);

impl Items {
    pub(super) const fn new() -> Self {
        Self { first: None, rest: None }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Whether there is more than one.
    pub(super) const fn are_several(&self) -> bool {
        self.rest.is_some()
    }

    pub(super) const fn first(&self) -> Option<&Item> {
        self.first.as_ref()
    }

    pub(super) const fn first_mut(&mut self) -> Option<&mut Item> {
        self.first.as_mut()
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut Item> {
        match &mut self.rest {
            Some(rest) => rest.0.back_mut(),
            None => self.first.as_mut(),
        }
    }

    pub(super) fn push_back(&mut self, item: Item) {
        if self.first.is_none() {
            self.first = Some(item);
        } else {
            self.rest.get_or_insert_default().0.push_back(item);
        }
    }

    /// Puts an item behind the first.
    pub(super) fn insert_second(&mut self, item: Item) {
        self.rest.get_or_insert_default().0.push_front(item);
    }

    pub(super) fn pop_front(&mut self) -> Option<Item> {
        let second = self.rest.as_mut().and_then(|rest| rest.0.pop_front());
        if self.rest.as_ref().is_some_and(|rest| rest.0.is_empty()) {
            self.rest = None;
        }
        std::mem::replace(&mut self.first, second)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Item> {
        let rest = self.rest.iter_mut().flat_map(|rest| rest.0.iter_mut());
        self.first.iter_mut().chain(rest)
    }

    /// The beginning of what waits, copied into one piece of at most `bytes_max`.
    pub(super) fn gather(&self, bytes_max: usize) -> Bytes {
        let mut gathered = BytesMut::with_capacity(bytes_max);
        let rest = self.rest.iter().flat_map(|rest| rest.0.iter());
        let _ =
            self.first.iter().chain(rest).take_while(|item| item.copy_to(&mut gathered)).count();
        gathered.freeze()
    }
}

impl IntoIterator for Items {
    type Item = Item;
    type IntoIter =
        std::iter::Chain<std::option::IntoIter<Item>, std::collections::vec_deque::IntoIter<Item>>;

    fn into_iter(self) -> Self::IntoIter {
        let rest = self.rest.map(|rest| rest.0).unwrap_or_default();
        self.first.into_iter().chain(rest)
    }
}

impl FromIterator<Item> for Items {
    fn from_iter<I: IntoIterator<Item = Item>>(items: I) -> Self {
        let mut queue = Self::new();
        items.into_iter().for_each(|item| queue.push_back(item));
        queue
    }
}
