//! The task that gives what was sent to the connections of its shard.

use std::{
    collections::{HashSet, VecDeque},
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::Context,
};

use bytes::Bytes;
use tokio::{
    task::yield_now,
    time::{Instant, Sleep, sleep_until},
};

use super::{
    SlowConsumer,
    group_shard::{GroupShard, Member},
    mailbox::AddedMessage,
    parcel::Parcel,
    recipient::Recipient,
    round::{Part, Round},
    shard::PushShard,
};
use crate::clock::Nanos;

/// Members to which something is added before others run, even if none of them has to be woken.
const ADDED_AT_ONCE: usize = 512;

impl PushShard {
    /// Runs the fan-out task: gives what is sent to the connections, in the order in which it was sent, and wakes
    /// them, a few at a time. Ends never; when it is dropped, nothing can be pushed to the shard any more.
    ///
    /// Run it once a shard, on the shard's thread. *Needs*: tokio's timers.
    pub async fn run(self) {
        let _closes = Closes(&self);
        let laggards = Laggards::default();
        let mut fan_out = FanOut {
            shard: &self,
            woken: 0,
            added: 0,
            bytes: 0,
            written: Written::default(),
            laggards,
        };
        let mut parcels = VecDeque::new();
        loop {
            poll_fn(|cx| {
                fan_out.laggards.give_up(cx, &self);
                self.poll_parcels(cx, &mut parcels)
            })
            .await;
            while let Some(parcel) = parcels.pop_front() {
                let bytes = fan_out.deliver(parcel, &mut parcels).await;
                self.delivered(bytes);
                fan_out.bytes += bytes;
                if fan_out.is_due() {
                    fan_out.let_others_run().await;
                }
            }
        }
    }
}

/// Closes the inbox of a shard whose fan-out task ends.
struct Closes<'a>(&'a PushShard);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

struct FanOut<'a> {
    shard: &'a PushShard,
    /// Connections that were woken, or written to, since others ran.
    woken: usize,
    /// Connections to which something was added since.
    added: usize,
    /// Bytes that were delivered since.
    bytes: usize,
    /// What is written and not counted.
    written: Written,
    laggards: Laggards,
}

/// What was written to connections without waking them. Counted for many of them together.
#[derive(Default)]
struct Written {
    connections: u64,
    messages: u32,
    bytes: usize,
}

impl FanOut<'_> {
    /// Delivers a parcel to its connections, with those behind it that go to the same group. Returns how many bytes
    /// that were.
    async fn deliver(&mut self, parcel: Parcel, behind: &mut VecDeque<Parcel>) -> usize {
        match parcel {
            Parcel::Message { to, bytes } => {
                let len = bytes.len();
                self.deliver_message(&to, bytes);
                len
            }
            Parcel::Close { to } => {
                to.mailbox().add_close(self.shard);
                0
            }
            Parcel::Group(first) => {
                let group = first.group.clone();
                let round = Round::collect(first, behind);
                let len = round.bytes.len();
                self.deliver_round(&group, round).await;
                len
            }
            Parcel::Union { groups, bytes } => {
                self.deliver_union(groups, &bytes).await;
                self.shard.free(bytes.len());
                bytes.len()
            }
        }
    }

    fn deliver_message(&mut self, to: &Recipient, bytes: Bytes) {
        let len = bytes.len();
        self.added += 1;
        match to.mailbox().add_message(bytes, self.shard) {
            AddedMessage::Waits => self.woken += 1,
            AddedMessage::Written => {
                self.woken += 1;
                self.shard.free(len);
                self.shard.counts().sent(1, len);
            }
            AddedMessage::Refused => {
                self.shard.free(len);
                self.shard.counts().dropped(1);
            }
        }
    }

    async fn deliver_round(&mut self, group: &Arc<GroupShard>, round: Round) {
        self.shard.counts().rounds.add(1);
        let (range, at_time) = group.append(round.bytes.clone(), round.ends.clone());
        let (mut at, mut ranges) = (0, 0);
        while let Some((key, member)) = group.next_member(&mut at) {
            for (part, messages) in round.parts_for(member.recipient.id, member.since) {
                let bytes = &round.bytes[part.start as usize..part.end as usize];
                let range = range.start + part.start..range.start + part.end;
                let part = Part { range, messages, bytes };
                ranges += self.deliver_part(group, key, &member.recipient, part);
            }
            self.added += 1;
            if self.is_due() {
                self.count_written(at_time);
                self.let_others_run().await;
            }
        }
        self.count_written(at_time);
        group.delivered(range.start, ranges);
    }

    /// Each connection gets it once: the first group that it is in has it for it.
    async fn deliver_union(&mut self, groups: Vec<(Arc<GroupShard>, u64)>, bytes: &Bytes) {
        self.shard.counts().rounds.add(1);
        let mut has_it = HashSet::new();
        for (group, number) in groups {
            self.shard.hold(bytes.len());
            let (range, at_time) = group.append(bytes.clone(), Box::default());
            let (mut at, mut ranges) = (0, 0);
            while let Some((key, Member { recipient, since })) = group.next_member(&mut at) {
                if since <= number && has_it.insert(recipient.id) {
                    let part = Part { range: range.clone(), messages: 1, bytes };
                    ranges += self.deliver_part(&group, key, &recipient, part);
                }
                self.added += 1;
                if self.is_due() {
                    self.count_written(at_time);
                    self.let_others_run().await;
                }
            }
            self.count_written(at_time);
            group.delivered(range.start, ranges);
        }
    }

    /// Delivers a part of a round to a member. Returns how many ranges more there are in the log.
    fn deliver_part(
        &mut self,
        group: &Arc<GroupShard>,
        key: u32,
        member: &Arc<Recipient>,
        part: Part<'_>,
    ) -> u32 {
        let (messages, bytes) = (part.messages, part.bytes.len());
        let added = member.mailbox().add_part(group, key, part);
        if added.written {
            self.woken += 1;
            self.written.connections += 1;
            self.written.messages += messages;
            self.written.bytes += bytes;
            return 0;
        }
        self.shard.counts().dropped(added.left_out);
        self.woken += usize::from(added.woken);
        if let Some(number) = added.holds_up
            && let SlowConsumer::Block(at_most) = group.slow()
        {
            self.laggards.add(number, member.clone(), Instant::now() + at_most);
        }
        added.ranges
    }

    /// Counts what was written of a round that was made at this time.
    fn count_written(&mut self, round: Nanos) {
        let Written { connections, messages, bytes } = std::mem::take(&mut self.written);
        if connections > 0 {
            self.shard.counts().sent(messages, bytes);
            self.shard.counts().record_delays(round, self.shard.read_clock(), connections);
        }
    }

    /// Whether others should run.
    fn is_due(&self) -> bool {
        // No more than a member takes in a turn: otherwise a burst would be too much for those that keep up.
        let is_full = self.bytes >= self.shard.round_bytes_max();
        self.woken >= self.shard.at_once() || self.added >= ADDED_AT_ONCE || is_full
    }

    /// Lets others run: the connections that were woken, the I/O driver, and whatever is ready by then.
    async fn let_others_run(&mut self) {
        (self.woken, self.added, self.bytes) = (0, 0, 0);
        yield_now().await;
    }
}

/// Members that hold up the senders of their groups.
#[derive(Default)]
struct Laggards {
    waiting: Vec<Laggard>,
    timer: Option<Pin<Box<Sleep>>>,
}

struct Laggard {
    /// The number of the wait.
    number: u64,
    member: Arc<Recipient>,
    until: Instant,
}

impl Laggards {
    fn add(&mut self, number: u64, member: Arc<Recipient>, until: Instant) {
        self.waiting.push(Laggard { number, member, until });
        self.timer = None;
    }

    /// Gives up those that hold up senders for too long, and sets the timer for the next.
    fn give_up(&mut self, cx: &mut Context<'_>, shard: &PushShard) {
        loop {
            if self.timer.is_none() {
                let Some(first) = self.waiting.iter().map(|laggard| laggard.until).min() else {
                    return;
                };
                self.timer = Some(Box::pin(sleep_until(first)));
            }
            if self.timer.as_mut().is_none_or(|timer| timer.as_mut().poll(cx).is_pending()) {
                return;
            }
            self.timer = None;
            let now = Instant::now();
            self.waiting.retain(|Laggard { number, member, until }| {
                let over = *until <= now;
                if over {
                    member.mailbox().give_up_if_it_holds_up(*number, shard);
                }
                !over
            });
        }
    }
}
