//! The mail of one connection.

use std::{sync::Arc, task::Waker};

use bytes::Bytes;

use super::{
    PushError, SlowConsumer,
    group_shard::GroupShard,
    items::{Item, Items},
    mail::{Delivery, Mail, NO_STREAM, NextMail, Others},
    round::Part,
    shard::PushShard,
    sync::{AtomicBool, Mutex, MutexGuard, Ordering, lock},
};

/// The mail of a connection: what was sent to it and is not written.
///
/// Its connection looks at a flag when it has written its replies; adding mail sets the flag and wakes the connection's
/// task, under the lock. So the connection registers its waker when that changes, not at every park.
pub(super) struct Mailbox {
    /// There is something for the connection to do.
    flag: AtomicBool,
    /// The connection has written all that it had, and waits for input: others may write to its stream. Only for the
    /// thread that runs its task.
    quiet: AtomicBool,
    /// Others have written a part of a message.
    cut: AtomicBool,
    mail: Mutex<Mail>,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AddedMessage {
    /// It is not taken any more.
    Refused,
    /// It was written at once.
    Written,
    /// It waits for the connection, which was woken.
    Waits,
}

/// How a range was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Added {
    /// Ranges more that reach into the round.
    pub(super) ranges: u32,
    /// Messages that were left out.
    pub(super) left_out: u32,
    /// The member was woken.
    pub(super) woken: bool,
    /// It was written already.
    pub(super) written: bool,
    /// It begins to hold up the senders of the group: the number of that.
    pub(super) holds_up: Option<u64>,
}

impl Mailbox {
    pub(super) fn new() -> Self {
        let [flag, quiet, cut] = [(); 3].map(|()| AtomicBool::new(false));
        Self { flag, quiet, cut, mail: Mutex::new(Mail::new()) }
    }

    pub(super) fn set_stream_id(&self, stream: i32) {
        lock(&self.mail).stream = stream;
    }

    /// The connection's task runs: see [`Recipient::begin_turn`](super::Recipient::begin_turn).
    #[inline]
    pub(super) fn begin_turn(&self) -> bool {
        if self.quiet.load(Ordering::Relaxed) {
            self.quiet.store(false, Ordering::Relaxed);
        }
        let cut = self.cut.load(Ordering::Relaxed);
        if cut {
            self.cut.store(false, Ordering::Relaxed);
        }
        cut
    }

    /// The connection's task waits for input.
    #[inline]
    pub(super) fn end_turn(&self) {
        self.quiet.store(true, Ordering::Relaxed);
    }

    /// Whether there is something for the connection to do.
    #[inline]
    pub(super) fn has_mail(&self) -> bool {
        self.flag.load(Ordering::Acquire)
    }

    /// Sets the task that is woken when mail comes. Returns whether there is some.
    pub(super) fn register(&self, waker: &Waker) -> bool {
        let mut mail = lock(&self.mail);
        let stale = (mail.state != Delivery::Closed).then(|| mail.waker.replace(waker.clone()));
        let has_mail = self.flag.load(Ordering::Relaxed);
        drop(mail);
        // The last waker of a task drops the task.
        drop(stale);
        has_mail
    }

    /// Whether mail is taken.
    pub(super) fn is_open(&self) -> bool {
        lock(&self.mail).state == Delivery::Open
    }

    /// Bytes that wait, and those that are on their way here.
    pub(super) fn waiting_bytes(&self) -> usize {
        lock(&self.mail).bytes
    }

    /// Makes room for a message that will come. `sender` is woken when there is room, if there is none.
    pub(super) fn reserve(
        &self,
        bytes: usize,
        bytes_max: usize,
        sender: Option<&Waker>,
    ) -> Result<(), PushError> {
        let mut mail = lock(&self.mail);
        if mail.state != Delivery::Open {
            return Err(PushError::Closed);
        }
        if mail.is_full_for(bytes, bytes_max) {
            if let Some(sender) = sender {
                mail.add_sender(sender);
            }
            return Err(PushError::Full);
        }
        mail.bytes += bytes;
        Ok(())
    }

    /// Gives back room for a message that does not come.
    pub(super) fn unreserve(&self, bytes: usize) {
        let mut mail = lock(&self.mail);
        mail.bytes = mail.bytes.saturating_sub(bytes);
    }

    /// Adds a message for which there is room, unless it is written at once.
    pub(super) fn add_message(&self, bytes: Bytes, shard: &PushShard) -> AddedMessage {
        let mut mail = lock(&self.mail);
        if mail.state != Delivery::Open {
            return AddedMessage::Refused;
        }
        let written = self.write_now(&mail, &bytes, shard);
        if written == bytes.len() {
            mail.bytes = mail.bytes.saturating_sub(written);
            release_others(mail, shard);
            return AddedMessage::Written;
        }
        self.put(&mut mail, Item::Message(bytes), shard);
        self.advance_behind_write(&mut mail, written, shard);
        AddedMessage::Waits
    }

    /// Writes to the stream of a connection that has nothing to do, and returns how many bytes it took.
    fn write_now(&self, mail: &Mail, bytes: &[u8], shard: &PushShard) -> usize {
        let may_write = mail.stream != NO_STREAM
            && self.quiet.load(Ordering::Relaxed)
            && mail.items.is_empty()
            && mail.state == Delivery::Open;
        if may_write { shard.write_now(mail.stream, bytes) } else { 0 }
    }

    /// Takes off the first item what was written of it, for the connection to write the rest.
    fn advance_behind_write(&self, mail: &mut Mail, written: usize, shard: &PushShard) {
        if written > 0 {
            let inside = mail.advance(written, shard);
            self.cut.store(inside, Ordering::Relaxed);
        }
    }

    /// Closes the connection behind the mail that is here.
    pub(super) fn add_close(&self, shard: &PushShard) {
        let mut mail = lock(&self.mail);
        if mail.state == Delivery::Open {
            self.put(&mut mail, Item::Close, shard);
            mail.state = Delivery::Stopped;
        }
    }

    /// Adds a part of a round of a group, by the policy of the group, unless it is written at once.
    pub(super) fn add_part(&self, group: &Arc<GroupShard>, member: u32, part: Part<'_>) -> Added {
        let Part { range, messages, bytes } = part;
        let shard = group.shard();
        let mut mail = lock(&self.mail);
        let mut added = Added::default();
        if mail.state != Delivery::Open {
            return Added { left_out: messages, ..added };
        }
        let written = self.write_now(&mail, bytes, shard);
        let bytes = bytes.len();
        if written == bytes {
            return Added { written: true, ..added };
        }
        let bytes_max = shard.connection_bytes_max();
        // The rest of a message that was written in part is never too much.
        if written == 0 && mail.is_full_for(bytes, bytes_max) {
            match group.slow() {
                SlowConsumer::Disconnect => return self.give_up(mail, messages, shard),
                SlowConsumer::DropNewest => {
                    shard.counts().slow_dropped.add(1);
                    return Added { left_out: messages, ..added };
                }
                SlowConsumer::DropOldest => {
                    shard.counts().slow_dropped.add(1);
                    let wanted = mail.bytes + bytes - bytes_max;
                    added.left_out = mail.leave_out_oldest(group, member, wanted);
                    if mail.is_full_for(bytes, bytes_max) {
                        added.left_out += messages;
                        return added;
                    }
                }
                SlowConsumer::Block(_) if mail.bytes + bytes > 2 * bytes_max => {
                    return self.give_up(mail, messages, shard);
                }
                SlowConsumer::Block(_) => added.holds_up = mail.hold_up(group),
            }
        }
        mail.bytes += bytes;
        added.ranges = 1;
        // What follows without a gap lengthens the last item instead of being one more.
        if let Some(last) = mail.items.last_mut()
            && last.is_of(group, member)
            && let Item::Range { range: waiting, .. } = last
            && waiting.end == range.start
            && !waiting.is_empty()
        {
            waiting.end = range.end;
            return added;
        }
        let item = Item::Range { group: group.clone(), member, range };
        added.woken = self.put(&mut mail, item, shard);
        self.advance_behind_write(&mut mail, written, shard);
        added
    }

    /// Adds an item, and wakes the connection if it was the first. Returns whether it did.
    fn put(&self, mail: &mut Mail, item: Item, shard: &PushShard) -> bool {
        let is_first = mail.items.is_empty();
        mail.items.push_back(item);
        if is_first {
            shard.counts().waiting_connections.add(1);
            self.wake(mail);
        }
        is_first
    }

    fn wake(&self, mail: &Mail) {
        self.flag.store(true, Ordering::Release);
        if let Some(waker) = &mail.waker {
            waker.wake_by_ref();
        }
    }

    /// What the connection does next.
    pub(super) fn next(&self, shard: &PushShard) -> NextMail {
        let mut mail = lock(&self.mail);
        let next = mail.next(shard);
        self.lower_flag(&mail);
        next
    }

    /// Takes bytes that were written off the mail. Returns whether they end inside of a message.
    pub(super) fn advance(&self, bytes: usize, shard: &PushShard) -> bool {
        let mut mail = lock(&self.mail);
        let inside = mail.advance(bytes, shard);
        self.lower_flag(&mail);
        release_others(mail, shard);
        inside
    }

    /// Lowers the flag if the connection has nothing to do.
    fn lower_flag(&self, mail: &Mail) {
        if mail.items.is_empty() && mail.state != Delivery::TooSlow {
            self.flag.store(false, Ordering::Relaxed);
        }
    }

    /// Takes no more mail; what waits is still written.
    pub(super) fn stop(&self) {
        let mut mail = lock(&self.mail);
        if mail.state == Delivery::Open {
            mail.state = Delivery::Stopped;
        }
    }

    /// Whether the connection takes its mail too slowly.
    pub(super) fn is_too_slow(&self) -> bool {
        self.has_mail() && lock(&self.mail).state == Delivery::TooSlow
    }

    /// Gives a member up that takes its mail too slowly, with messages that were too much.
    fn give_up(&self, mut mail: MutexGuard<'_, Mail>, messages: u32, shard: &PushShard) -> Added {
        mail.state = Delivery::TooSlow;
        let items = mail.take_all(shard);
        self.wake(&mail);
        release_others(mail, shard);
        shard.counts().slow_closed.add(1);
        let left_out = release_all(items, shard) + messages;
        Added { left_out, woken: true, ..Added::default() }
    }

    /// Gives the member up if the wait of senders for it with this number goes on.
    pub(super) fn give_up_if_it_holds_up(&self, number: u64, shard: &PushShard) {
        let mail = lock(&self.mail);
        if mail.holds_up(number) && mail.state == Delivery::Open {
            let added = self.give_up(mail, 0, shard);
            shard.counts().dropped(added.left_out);
        }
    }

    /// Leaves out what waits for a member that leaves its group.
    pub(super) fn discard(&self, group: &Arc<GroupShard>, member: u32) {
        let shard = group.shard();
        let mut mail = lock(&self.mail);
        let gone = mail.take_those_of(group, member, shard);
        self.lower_flag(&mail);
        release_others(mail, shard);
        shard.counts().dropped(release_all(gone, shard));
    }

    /// Takes no more mail, and leaves out what waits.
    pub(super) fn close(&self, shard: &PushShard) {
        let mut mail = lock(&self.mail);
        mail.state = Delivery::Closed;
        let (items, waker): (Items, _) = (mail.take_all(shard), mail.waker.take());
        self.lower_flag(&mail);
        release_others(mail, shard);
        // The last waker of a task drops the task.
        drop(waker);
        shard.counts().dropped(release_all(items, shard));
    }
}

/// Lets those go on that wait for the member, if half of what may wait for it is taken.
fn release_others(mut mail: MutexGuard<'_, Mail>, shard: &PushShard) {
    let others = mail.take_others_if_below(shard.connection_bytes_max() / 2);
    drop(mail);
    others.into_iter().for_each(|others: Box<Others>| others.release());
}

/// Frees what nothing takes any more. Returns how many messages that were.
fn release_all(items: impl IntoIterator<Item = Item>, shard: &PushShard) -> u32 {
    items.into_iter().map(|item| item.release(shard)).sum()
}
