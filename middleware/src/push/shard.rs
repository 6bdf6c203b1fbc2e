//! What was sent to the connections of a shard, until its fan-out task gives it to them.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use super::{
    PushError,
    parcel::Parcel,
    room::{Room, wait_for_room},
    sync::{Mutex, lock},
    waiters::Waiters,
};
use crate::{
    clock::Nanos,
    live_setting::LiveSetting,
    stats::{PushStats, Stats},
    thread_context::block_pool::BLOCK_BYTES,
};

/// The pushes of one shard: an inbox that any thread sends to, and the limits of what waits. The shard's
/// [fan-out task](Self::run) gives what was sent to the connections.
///
/// Cheap to clone: one pointer.
#[derive(Clone)]
pub struct PushShard(Arc<State>);

/// Writes bytes to the stream that [`Connection::set_stream_id`](crate::serve::Connection::set_stream_id) gave a
/// connection, without waiting, and returns how many it took.
pub type WriteNow = fn(stream: i32, bytes: &[u8]) -> std::io::Result<usize>;

struct State {
    write_now: OnceLock<WriteNow>,
    stats: Arc<Stats>,
    counts: Arc<PushStats>,
    connection_bytes_max: LiveSetting<usize>,
    memory_bytes_max: LiveSetting<usize>,
    shard_bytes_max: LiveSetting<usize>,
    at_once: LiveSetting<usize>,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    parcels: VecDeque<Parcel>,
    /// Bytes of the parcels, and of those that the fan-out task has taken and not given.
    bytes: usize,
    /// The fan-out task, while it waits: a burst of messages wakes it once.
    fan_out: Option<Waker>,
    /// Connections that sent while the inbox was full.
    senders: Waiters,
    /// The fan-out task has ended: nothing is taken any more.
    closed: bool,
}

/// Bytes that wait for one connection at most: `push.connection_bytes`.
pub const CONNECTION_BYTES: usize = 1024 * crate::KIB;

/// Bytes that wait in an inbox when senders begin to wait: `push.shard_bytes`.
pub const SHARD_BYTES: usize = 16 * 1024 * crate::KIB;

/// Connections that are written to or woken before others run: `push.at_once`.
pub const AT_ONCE: usize = 32;

/// Parcels for which an idle inbox keeps room.
const PARCELS_KEPT: usize = 256;

impl PushShard {
    /// Pushes that count in `stats`, with the default limits.
    pub fn new(stats: Arc<Stats>) -> Self {
        Self(Arc::new(State {
            write_now: OnceLock::new(),
            counts: stats.new_pushes(),
            stats,
            memory_bytes_max: LiveSetting::new(usize::MAX),
            connection_bytes_max: LiveSetting::new(CONNECTION_BYTES),
            shard_bytes_max: LiveSetting::new(SHARD_BYTES),
            at_once: LiveSetting::new(AT_ONCE),
            inbox: Mutex::default(),
        }))
    }

    /// Has what is pushed to a connection that only waits for input written by `write_now`, without its task, if its
    /// stream is known: a message to ten thousand is so many system calls, and little else. Only for a shard all of
    /// whose connections, and whose [fan-out task](Self::run), run on one thread. Later calls change nothing.
    pub fn set_write_now(&self, write_now: WriteNow) {
        let _ = self.0.write_now.set(write_now);
    }

    /// Writes what a stream takes, if that can be.
    pub(super) fn write_now(&self, stream: i32, bytes: &[u8]) -> usize {
        let Some(write_now) = self.0.write_now.get() else { return 0 };
        // Its connection meets an error by itself.
        let written = write_now(stream, bytes).unwrap_or(0);
        self.0.stats.written_bytes.add(written as u64);
        written
    }

    /// Limits what waits for one connection. Default: 1 MiB.
    pub fn set_connection_bytes(&self, bytes: usize) {
        self.0.connection_bytes_max.store(bytes);
    }

    /// Has what waits for one connection limited to a quarter while all buffers of the shard together are above
    /// `bytes`. Default: no such limit.
    pub fn set_memory_bytes(&self, bytes: usize) {
        self.0.memory_bytes_max.store(bytes);
    }

    /// Exports what is counted here: see [`Stats::pushes`].
    pub fn export(&self) {
        self.0.stats.set_pushes(&self.0.counts);
    }

    /// Limits what is on its way to the connections of the shard. Above it the connections that sent are not read
    /// on until half of it is given; above twice as much messages are refused. Default: 16 MiB.
    pub fn set_shard_bytes(&self, bytes: usize) {
        self.0.shard_bytes_max.store(bytes);
    }

    /// Sets how many connections are written to or woken before others run. Default: 32.
    pub fn set_at_once(&self, connections: usize) {
        self.0.at_once.store(connections);
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn counts(&self) -> &PushStats {
        &self.0.counts
    }

    pub(super) fn connection_bytes_max(&self) -> usize {
        let bytes = self.0.connection_bytes_max.load();
        let memory_is_short = self.0.stats.buffered_bytes() > self.0.memory_bytes_max.load();
        if memory_is_short { bytes / 4 } else { bytes }
    }

    /// Bytes of messages of a group that are delivered together at most, unless they are one message: what one write
    /// takes, and a part of what may wait for a member, so that a policy leaves out messages and not all of them.
    pub(super) fn round_bytes_max(&self) -> usize {
        BLOCK_BYTES.min(self.connection_bytes_max() / 4)
    }

    pub(super) fn at_once(&self) -> usize {
        self.0.at_once.load().max(1)
    }

    /// The time: some microseconds old on the shard's own thread.
    pub(super) fn now(&self) -> Nanos {
        self.0.stats.recent()
    }

    /// The time now.
    pub(super) fn read_clock(&self) -> Nanos {
        self.0.stats.now()
    }

    /// Counts bytes that connections wait for.
    pub(super) fn hold(&self, bytes: usize) {
        self.0.stats.push_bytes.add(bytes as i64);
    }

    /// Counts bytes as free that no connection waits for any more.
    pub(super) fn free(&self, bytes: usize) {
        if bytes > 0 {
            self.0.stats.push_bytes.add(-(bytes as i64));
        }
    }

    /// Refuses a message that can never be given to a connection.
    pub(super) fn check_len(&self, bytes: usize) -> Result<(), PushError> {
        let limit_bytes = self.0.connection_bytes_max.load();
        if bytes > limit_bytes {
            self.counts().refused.add(1);
            return Err(PushError::TooLong { bytes, limit_bytes });
        }
        Ok(())
    }

    /// Whether another message is refused.
    pub(super) fn check_room(&self, bytes: usize) -> Result<(), PushError> {
        let inbox = lock(&self.0.inbox);
        if inbox.closed {
            return Err(PushError::Closed);
        }
        if inbox.bytes + bytes > self.0.shard_bytes_max.load().saturating_mul(2) {
            self.counts().refused.add(1);
            return Err(PushError::Full);
        }
        Ok(())
    }

    /// Sends a message of `bytes`.
    pub(super) fn send(&self, parcel: Parcel, bytes: usize) -> Result<(), PushError> {
        self.check_room(bytes)?;
        self.put(parcel, bytes);
        Ok(())
    }

    /// Puts a parcel into the inbox, and has the connection that sends it wait if that is full.
    pub(super) fn put(&self, parcel: Parcel, bytes: usize) {
        let mut inbox = lock(&self.0.inbox);
        if inbox.closed {
            drop(inbox);
            return;
        }
        self.0.stats.push_bytes.add(bytes as i64);
        inbox.parcels.push_back(parcel);
        inbox.bytes += bytes;
        let full = inbox.bytes > self.0.shard_bytes_max.load();
        let fan_out = inbox.fan_out.take();
        drop(inbox);
        fan_out.into_iter().for_each(Waker::wake);
        if full {
            wait_for_room(Room::Shard(self.clone()));
        }
    }

    /// Takes everything that was sent.
    pub(super) fn poll_parcels(
        &self,
        cx: &mut Context<'_>,
        parcels: &mut VecDeque<Parcel>,
    ) -> Poll<()> {
        let mut inbox = lock(&self.0.inbox);
        if inbox.parcels.is_empty() {
            if parcels.capacity() > PARCELS_KEPT {
                *parcels = VecDeque::new();
            }
            inbox.fan_out = Some(cx.waker().clone());
            return Poll::Pending;
        }
        std::mem::swap(&mut inbox.parcels, parcels);
        Poll::Ready(())
    }

    /// Takes nothing any more, and drops what was not given.
    pub(super) fn close(&self) {
        let mut inbox = lock(&self.0.inbox);
        inbox.closed = true;
        let (parcels, senders) = (std::mem::take(&mut inbox.parcels), inbox.senders.take());
        self.free(std::mem::take(&mut inbox.bytes));
        drop(inbox);
        drop(parcels);
        senders.into_iter().for_each(Waker::wake);
    }

    /// Records that parcels were given to their connections.
    pub(super) fn delivered(&self, bytes: usize) {
        let mut inbox = lock(&self.0.inbox);
        inbox.bytes = inbox.bytes.saturating_sub(bytes);
        let has_room = inbox.bytes <= self.0.shard_bytes_max.load() / 2;
        let senders = if has_room { inbox.senders.take() } else { Vec::new() };
        drop(inbox);
        senders.into_iter().for_each(Waker::wake);
    }

    /// Ready when half of the inbox is given.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, registered: &mut u64) -> Poll<()> {
        let mut inbox = lock(&self.0.inbox);
        if inbox.bytes <= self.0.shard_bytes_max.load() / 2 {
            return Poll::Ready(());
        }
        inbox.senders.register(cx, registered);
        Poll::Pending
    }
}

impl fmt::Debug for PushShard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushShard").finish_non_exhaustive()
    }
}
