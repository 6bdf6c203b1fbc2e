//! What ties a connection to its shard.

use std::{fmt, sync::Arc, task::Waker, time::Duration};

use super::ConnectionConfig;
use crate::{
    connections::{Chunks, ConnectionEnd, ConnectionRow, PeerAddress},
    drain::{WakeEntry, WakerIdentity, WakerKey, Watch},
    rate::Throttle,
    session::SessionStack,
    stats::{CloseReason, ConnectionEntry, Nanos, State, Stats},
};

/// What the connections of a shard share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) stats: Arc<Stats>,
    pub(super) drain: Watch,
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) limits: Option<SessionStack>,
    pub(super) throttle: Option<Arc<dyn Throttle>>,
}

/// A connection's entries in what its shard shares: in the metrics, counted as open when made and as
/// closed once when dropped, and in the list of wakers.
///
/// One pointer to all that is shared, because each pointer takes eight bytes of every connection; the
/// four small fields fill 24 bytes without padding.
pub(super) struct ShardLink {
    shared: Arc<Shared>,
    entry: ConnectionEntry,
    key: WakerKey,
    registered: WakerIdentity,
}

impl ShardLink {
    /// Counts a connection as open and runnable.
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let entry = ConnectionEntry::open(&shared.stats);
        let key = if shared.stats.is_counted() {
            shared.drain.open(shared.stats.recent())
        } else {
            WakerKey::NONE
        };
        Self { entry, key, registered: WakerIdentity::NONE, shared }
    }

    /// Whether its shard lists connections.
    fn has_row(&self) -> bool {
        self.stats().is_counted()
    }

    /// The rows of its shard.
    #[inline]
    fn rows(&self) -> Option<&Chunks> {
        self.shared.drain.rows()
    }

    /// Sets the peer's address in the list of connections.
    pub(super) fn set_peer(&self, peer: PeerAddress) {
        if self.has_row() {
            self.shared.drain.set_peer(self.key, peer);
        }
    }

    /// Counts lines of this connection.
    #[inline]
    pub(super) fn add_lines(&self, lines: usize) {
        if let Some(rows) = self.rows() {
            rows.add_lines(self.key.0, lines);
        }
    }

    /// The metrics in which the connection counts.
    #[inline]
    pub(super) fn stats(&self) -> &Arc<Stats> {
        &self.shared.stats
    }

    /// How the connection is served.
    #[inline]
    pub(super) fn config(&self) -> &ConnectionConfig {
        &self.shared.config
    }

    /// The limits of what a service waits for behind the first part of its reply.
    pub(super) fn limits(&self) -> Option<&SessionStack> {
        self.shared.limits.as_ref()
    }

    /// How long a batch must wait for the rate of its peer's address.
    #[cold]
    pub(super) fn throttle(&self, frames: usize, bytes: usize) -> Duration {
        match (&self.shared.throttle, self.row()) {
            // A batch is bounded by the read block or by one line, both below 4 GiB.
            (Some(throttle), Some(row)) => throttle.take(row.peer, frames as u32, bytes as u32),
            _ => Duration::ZERO,
        }
    }

    /// Whether it is time to finish.
    #[inline]
    pub(super) fn is_draining(&self) -> bool {
        self.shared.drain.is_finishing(self.key)
    }

    /// Why it is time to finish.
    pub(super) fn finish_reason(&self) -> CloseReason {
        self.shared.drain.finish_reason(self.key).unwrap_or(CloseReason::Drain)
    }

    /// Why the connection should end without waiting for anything.
    #[inline]
    pub(super) fn close_at_once(&self) -> Option<CloseReason> {
        self.shared.drain.close_at_once(self.key)
    }

    /// Whether this waker is the one that was registered last.
    #[inline]
    pub(super) fn is_registered(&self, waker: &Waker) -> bool {
        self.registered == WakerIdentity::of(waker)
    }

    /// The entry in the list of wakers.
    #[inline]
    pub(super) fn wake_entry(&mut self) -> WakeEntry<'_> {
        WakeEntry {
            watch: &self.shared.drain,
            key: &mut self.key,
            registered: &mut self.registered,
        }
    }

    /// Forgets which task it registered: another one goes on with the connection.
    pub(super) const fn forget_task(&mut self) {
        self.registered = WakerIdentity::NONE;
    }

    /// See [`ConnectionEntry::resume`].
    #[inline]
    pub(super) fn resume(&mut self) -> Option<Nanos> {
        let now = self.entry.resume(&self.shared.stats)?;
        if let Some(rows) = self.rows() {
            rows.resume(self.key.0, now);
        }
        Some(now)
    }

    /// See [`ConnectionEntry::park`].
    #[inline]
    pub(super) fn park(&mut self, state: State, now: Nanos) {
        self.entry.park(&self.shared.stats, state, now);
        if let Some(rows) = self.rows() {
            rows.park(self.key.0, state, now);
        }
    }

    /// See [`ConnectionEntry::yield_thread`].
    pub(super) fn yield_thread(&self) {
        self.entry.yield_thread(&self.shared.stats);
    }

    /// See [`ConnectionEntry::set_buffered`].
    #[inline]
    pub(super) fn set_buffered(&mut self, read_bytes: usize, write_bytes: usize) {
        let Shared { stats, config, .. } = &*self.shared;
        let limited = || {
            config.buffered_bytes_max.load() != usize::MAX
                || config.eviction_bytes.load() != usize::MAX
        };
        self.entry.set_buffered(stats, read_bytes, write_bytes, limited);
        if let Some(rows) = self.rows() {
            rows.set_buffered(self.key.0, read_bytes + write_bytes);
        }
    }

    /// See [`ConnectionEntry::hold`].
    #[inline]
    pub(super) fn hold(&mut self, held_bytes: usize, waker: &Waker) -> bool {
        let Shared { stats, config, .. } = &*self.shared;
        self.entry.hold(stats, held_bytes, waker, || config.eviction_bytes.load())
    }

    /// Whether memory is short, and connections that are about to run free some.
    #[inline]
    pub(super) fn waits_for_memory(&self) -> bool {
        self.stats().is_evicting_above(self.config().eviction_bytes.load())
    }

    /// See [`ConnectionEntry::release_buffers`].
    pub(super) fn release_buffers(&mut self) {
        self.entry.release_buffers(&self.shared.stats);
        if let Some(rows) = self.rows() {
            rows.set_buffered(self.key.0, 0);
        }
    }

    /// See [`ConnectionEntry::buffered_by_all`].
    pub(super) fn buffered_by_all(&self, unsent_bytes: usize) -> usize {
        self.entry.buffered_by_all(&self.shared.stats, unsent_bytes)
    }

    /// See [`ConnectionEntry::linger`].
    pub(super) fn linger(&mut self, reason: CloseReason) {
        self.entry.linger(&self.shared.stats, reason);
    }

    /// See [`ConnectionEntry::close`].
    pub(super) fn close(&mut self, reason: CloseReason) {
        let Self { shared, entry, key, .. } = self;
        entry.close(&shared.stats, reason, || shared.drain.rows()?.opened(key.0));
    }

    /// Ends the connection as its drop does, and returns how it ended.
    pub(super) fn end(&mut self) -> ConnectionEnd {
        let reason = self.cut();
        let at = self.shared.stats.now();
        ConnectionEnd { reason, at, row: self.read_row(at) }
    }

    /// See [`ConnectionEntry::cut`].
    fn cut(&mut self) -> CloseReason {
        let Self { shared, entry, key, .. } = self;
        entry.cut(&shared.stats, || shared.drain.rows()?.opened(key.0))
    }

    /// The connection's own row.
    pub(super) fn row(&self) -> Option<ConnectionRow> {
        self.read_row(self.shared.stats.now())
    }

    fn read_row(&self, now: Nanos) -> Option<ConnectionRow> {
        if self.has_row() { self.shared.drain.row(self.key, now) } else { None }
    }
}

impl Drop for ShardLink {
    fn drop(&mut self) {
        self.cut();
        self.shared.drain.remove(self.key);
    }
}

impl fmt::Debug for ShardLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLink").field("entry", &self.entry).finish_non_exhaustive()
    }
}
