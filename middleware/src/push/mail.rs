//! What is known of the mail of one connection, under its lock.

use std::{sync::Arc, task::Waker};

use bytes::{Buf, Bytes};

use super::{
    group_shard::GroupShard,
    items::{Item, Items},
    log::LeftOut,
    shard::PushShard,
};

/// Pieces of mail that are shorter are copied into one write; longer ones are written as they are.
const SMALL_BYTES: usize = 4 * crate::KIB;

/// Bytes that are copied into one write at most.
const GATHERED_BYTES: usize = 16 * crate::KIB;

pub(super) struct Mail {
    pub(super) items: Items,
    /// Bytes of all items, and of messages that are on their way here.
    pub(super) bytes: usize,
    pub(super) waker: Option<Waker>,
    /// The first item begins inside of a message, the rest of which must be written.
    inside: bool,
    pub(super) state: Delivery,
    /// By which [`WriteNow`](super::WriteNow) knows the connection's stream; [`NO_STREAM`] if it may not.
    pub(super) stream: i32,
    others: Option<Box<Others>>,
}

/// No stream: what a descriptor never is.
pub(super) const NO_STREAM: i32 = -1;

/// What happens to mail that comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    Open,
    /// No more is taken; what is there is written.
    Stopped,
    /// The connection will be closed because it takes its mail too slowly.
    TooSlow,
    Closed,
}

/// What few mailboxes have.
#[derive(Default)]
pub(super) struct Others {
    /// Groups whose senders wait for this member, each with the number of that.
    holds_up: Vec<(Arc<GroupShard>, u64)>,
    /// Tasks that wait for room.
    senders: Vec<Waker>,
}

/// What the connection does next.
#[doc(hidden)]
#[derive(Debug)]
pub enum NextMail {
    Nothing,
    /// It writes these bytes, and says how many it did.
    Write(Bytes),
    /// It closes: the program says so.
    Close,
    /// It closes because it takes its mail too slowly.
    TooSlow,
}

impl Mail {
    pub(super) const fn new() -> Self {
        Self {
            items: Items::new(),
            bytes: 0,
            waker: None,
            inside: false,
            state: Delivery::Open,
            stream: NO_STREAM,
            others: None,
        }
    }

    /// Whether so much waits that `bytes` more are too much. A connection for which nothing waits keeps up, and takes
    /// what is sent together: a limit that is short of memory now, or below a round, must not close it.
    pub(super) const fn is_full_for(&self, bytes: usize, bytes_max: usize) -> bool {
        self.bytes > 0 && self.bytes + bytes > bytes_max
    }

    /// What comes next. Small pieces are copied into one, so that they are one write.
    pub(super) fn next(&mut self, shard: &PushShard) -> NextMail {
        if self.state == Delivery::TooSlow {
            return NextMail::TooSlow;
        }
        // Their messages were left out.
        while self.items.first().is_some_and(Item::is_empty) {
            self.pop(shard);
        }
        let Some(first) = self.items.first() else { return NextMail::Nothing };
        if let Item::Close = first {
            return NextMail::Close;
        }
        let piece = first.piece();
        let is_all = piece.len() == first.bytes() && !self.items.are_several();
        if piece.len() < SMALL_BYTES && !is_all {
            return NextMail::Write(self.items.gather(GATHERED_BYTES));
        }
        NextMail::Write(piece)
    }

    /// Takes bytes that were written off the first items. Returns whether they end inside of a message.
    pub(super) fn advance(&mut self, mut bytes: usize, shard: &PushShard) -> bool {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.inside = false;
        while bytes > 0
            && let Some(item) = self.items.first_mut()
        {
            let (taken, messages) = match item {
                Item::Close => break,
                // Its messages were left out.
                Item::Range { range, .. } if range.is_empty() => (0, 0),
                Item::Message(message) => {
                    let taken = bytes.min(message.len());
                    message.advance(taken);
                    shard.free(taken);
                    self.inside = !message.is_empty();
                    (taken, u32::from(message.is_empty()))
                }
                Item::Range { group, range, .. } => {
                    let advanced = group.advance(range, bytes);
                    self.inside = advanced.inside;
                    if advanced.messages > 0 {
                        shard.counts().record_delay(advanced.at, shard.now());
                    }
                    (advanced.bytes, advanced.messages)
                }
            };
            shard.counts().sent(messages, taken);
            bytes -= taken;
            if item.is_empty() {
                self.pop(shard);
            }
        }
        self.inside
    }

    /// Removes the first item.
    fn pop(&mut self, shard: &PushShard) {
        if self.items.pop_front().is_some() && self.items.is_empty() {
            shard.counts().waiting_connections.add(-1);
        }
    }

    /// Removes everything, to be released without the lock.
    pub(super) fn take_all(&mut self, shard: &PushShard) -> Items {
        if !self.items.is_empty() {
            shard.counts().waiting_connections.add(-1);
        }
        self.bytes = 0;
        std::mem::take(&mut self.items)
    }

    /// Removes what is of one membership, but the rest of a message that is written in part.
    pub(super) fn take_those_of(
        &mut self,
        group: &Arc<GroupShard>,
        member: u32,
        shard: &PushShard,
    ) -> Vec<Item> {
        if self.items.is_empty() {
            return Vec::new();
        }
        self.keep_begun_message();
        let begun = if self.inside { self.items.pop_front() } else { None };
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.items).into_iter().partition(|item| item.is_of(group, member));
        self.items = begun.into_iter().chain(kept).collect();
        self.bytes -= gone.iter().map(Item::bytes).sum::<usize>();
        if self.items.is_empty() {
            shard.counts().waiting_connections.add(-1);
        }
        gone
    }

    /// Leaves out the oldest messages of one membership, `wanted` bytes of them if there are so many. Returns how
    /// many messages.
    pub(super) fn leave_out_oldest(
        &mut self,
        group: &Arc<GroupShard>,
        member: u32,
        wanted: usize,
    ) -> u32 {
        self.keep_begun_message();
        let (mut messages, mut bytes) = (0, 0);
        for item in self.items.iter_mut().skip(usize::from(self.inside)) {
            if bytes >= wanted {
                break;
            }
            if item.is_of(group, member)
                && let Item::Range { group, range, .. } = item
            {
                let LeftOut { messages: more, bytes: of_them, .. } =
                    group.leave_out(range, (wanted - bytes) as u64);
                messages += more;
                bytes += of_them;
            }
        }
        self.bytes -= bytes;
        messages
    }

    /// Makes the rest of a message that is written in part an item of its own, which is not left out.
    fn keep_begun_message(&mut self) {
        if self.inside
            && let Some(Item::Range { group, member, range }) = self.items.first_mut()
        {
            let behind = group.cut_behind_message(range);
            if !behind.is_empty() {
                let (group, member) = (group.clone(), *member);
                self.items.insert_second(Item::Range { group, member, range: behind });
            }
        }
    }

    /// Has a task woken when there is room.
    pub(super) fn add_sender(&mut self, sender: &Waker) {
        let senders = &mut self.others.get_or_insert_default().senders;
        if !senders.iter().any(|other| other.will_wake(sender)) {
            senders.push(sender.clone());
        }
    }

    /// Records that senders of a group wait for this member, unless they do already. Returns a number that stands
    /// for this wait.
    pub(super) fn hold_up(&mut self, group: &Arc<GroupShard>) -> Option<u64> {
        let holds_up = &mut self.others.get_or_insert_default().holds_up;
        if holds_up.iter().any(|(of, _)| Arc::ptr_eq(of, group)) {
            return None;
        }
        let number = group.hold_up();
        holds_up.push((group.clone(), number));
        Some(number)
    }

    /// Whether the wait with this number goes on.
    pub(super) fn holds_up(&self, number: u64) -> bool {
        self.others
            .as_ref()
            .is_some_and(|others| others.holds_up.iter().any(|(_, of)| *of == number))
    }

    /// Those that wait for this member, if no more than `bytes` wait for it.
    pub(super) fn take_others_if_below(&mut self, bytes: usize) -> Option<Box<Others>> {
        if self.others.is_some() && self.bytes <= bytes { self.others.take() } else { None }
    }
}

impl Others {
    /// Lets those go on that waited for the member. Called without the lock.
    pub(super) fn release(self) {
        self.holds_up.iter().for_each(|(group, _)| group.let_go());
        self.senders.into_iter().for_each(Waker::wake);
    }
}
