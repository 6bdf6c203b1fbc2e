//! The members of a group on one shard.

use std::{
    hint::black_box,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use slab::Slab;

use super::{
    SlowConsumer,
    log::{Advanced, LeftOut, Log},
    recipient::Recipient,
    shard::PushShard,
    sync::{Mutex, lock},
    waiters::Waiters,
};
use crate::clock::Nanos;

/// The part of a group whose members one fan-out task serves.
pub(super) struct GroupShard {
    shard: PushShard,
    slow: SlowConsumer,
    members: Mutex<Slab<Member>>,
    /// How many, for senders.
    len: AtomicUsize,
    log: Mutex<Log>,
    /// Members for whom senders wait.
    holding_up: AtomicUsize,
    senders: Mutex<Waiters>,
}

/// Members whose mailboxes are loaded into the cache together.
const FETCHED_AHEAD: usize = 16;

#[derive(Clone)]
pub(super) struct Member {
    pub(super) recipient: Arc<Recipient>,
    /// The number of the first message that it gets.
    pub(super) since: u64,
}

impl GroupShard {
    pub(super) fn new(shard: PushShard, slow: SlowConsumer) -> Self {
        let (members, log, senders) = Default::default();
        let (len, holding_up) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self { shard, slow, members, len, log, holding_up, senders }
    }

    pub(super) fn shard(&self) -> &PushShard {
        &self.shard
    }

    pub(super) fn slow(&self) -> SlowConsumer {
        self.slow
    }

    /// Adds a member, and returns its key.
    pub(super) fn add(&self, member: Member) -> u32 {
        // Bounded by the memberships of a process, far below 2³².
        let key = lock(&self.members).insert(member) as u32;
        self.len.fetch_add(1, Relaxed);
        self.shard.counts().group_members.add(1);
        key
    }

    pub(super) fn remove(&self, key: u32) {
        let removed = {
            let mut members = lock(&self.members);
            let removed = members.try_remove(key as usize);
            if members.is_empty() {
                *members = Slab::new();
            }
            removed
        };
        if removed.is_some() {
            self.len.fetch_sub(1, Relaxed);
            self.shard.counts().group_members.add(-1);
        }
    }

    /// Whether there are members. Exact for senders: members come and go under the lock of the group's order.
    pub(super) fn has_members(&self) -> bool {
        self.len.load(Relaxed) > 0
    }

    /// The next member from the key `at` on. Members that join meanwhile may be skipped.
    pub(super) fn next_member(&self, at: &mut usize) -> Option<(u32, Member)> {
        let members = lock(&self.members);
        if at.is_multiple_of(FETCHED_AHEAD) {
            // The mailboxes of ten thousand members are in no cache. Loads that do not depend on one another are
            // waited for together; what is done with each later waits for each.
            for key in *at..*at + FETCHED_AHEAD {
                black_box(members.get(key).map(|member| member.recipient.has_mail()));
            }
        }
        while *at < members.capacity() {
            let key = *at;
            *at += 1;
            if let Some(member) = members.get(key) {
                return Some((key as u32, member.clone()));
            }
        }
        None
    }

    /// Appends a round to the log: see [`Log::append`]. Returns the time of the round as well.
    pub(super) fn append(&self, bytes: Bytes, ends: Box<[u32]>) -> (Range<u64>, Nanos) {
        let now = self.shard.now();
        (lock(&self.log).append(bytes, ends, now), now)
    }

    /// See [`Log::delivered`].
    pub(super) fn delivered(&self, start: u64, ranges: u32) {
        let freed = lock(&self.log).delivered(start, ranges);
        self.shard.free(freed);
    }

    /// See [`Log::piece`].
    pub(super) fn piece(&self, range: &Range<u64>) -> Bytes {
        lock(&self.log).piece(range)
    }

    /// See [`Log::copy_to`].
    pub(super) fn copy_to(&self, range: &Range<u64>, out: &mut BytesMut) -> bool {
        lock(&self.log).copy_to(range, out)
    }

    /// See [`Log::advance`].
    pub(super) fn advance(&self, range: &mut Range<u64>, bytes: usize) -> Advanced {
        let advanced = lock(&self.log).advance(range, bytes);
        self.shard.free(advanced.freed_bytes);
        advanced
    }

    /// Cuts a range behind the message in which it begins, if it begins inside of one. Returns what is behind it.
    pub(super) fn cut_behind_message(&self, range: &mut Range<u64>) -> Range<u64> {
        let mut log = lock(&self.log);
        let at = log.message_end(range.start).min(range.end);
        if range.start < at && at < range.end {
            log.cut(at);
        }
        let behind = at..range.end;
        range.end = at;
        behind
    }

    /// See [`Log::leave_out`].
    pub(super) fn leave_out(&self, range: &mut Range<u64>, bytes: u64) -> LeftOut {
        let left_out = lock(&self.log).leave_out(range, bytes);
        self.shard.free(left_out.freed_bytes);
        left_out
    }

    /// Has senders wait for one more member. Returns a number that stands for this wait.
    pub(super) fn hold_up(&self) -> u64 {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        self.holding_up.fetch_add(1, Relaxed);
        self.shard.counts().slow_waited.add(1);
        NUMBERS.fetch_add(1, Relaxed)
    }

    /// A member holds up senders no longer.
    pub(super) fn let_go(&self) {
        if self.holding_up.fetch_sub(1, Relaxed) == 1 {
            Waiters::wake_all(&self.senders);
        }
    }

    /// Whether senders wait.
    pub(super) fn holds_up(&self) -> bool {
        self.holding_up.load(Relaxed) > 0
    }

    /// Ready when senders need not wait.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, registered: &mut u64) -> Poll<()> {
        let mut senders = lock(&self.senders);
        if !self.holds_up() {
            return Poll::Ready(());
        }
        senders.register(cx, registered);
        Poll::Pending
    }
}
