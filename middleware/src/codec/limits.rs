use std::sync::Arc;

use bytes::BytesMut;

use crate::{
    live_setting::LiveSetting,
    thread_context::block_pool::{self, READ_BYTES_MIN},
};

/// Default for the most lines of a batch. Only batches of very short lines come near it: it bounds replies
/// of a fixed size a line, such as an error.
pub const LINES_MAX: u32 = 16 * 1024;

/// Divisor of a batch's lines while blocks are small. Lines of 16 bytes fill a small block before the
/// default is met.
const SMALL_BATCH_SHARE: usize = 32;

/// Batches of this many lines are not made smaller: 128 hexadecimal digests are 8 KiB, a small block.
const SMALL_BATCH_LINES: usize = 128;

/// Length from which an unfinished line reserves memory for what it may become.
const LONG_BYTES: usize = 512 * crate::KIB;

/// Such a line reserves this many times its length, or twice as many if that is enough for every line: no
/// memory that is more than half of the longest line is ever moved.
const GROWTH: usize = 16;

/// How long a line and how large a batch may be. Codecs that share one see it change.
#[derive(Debug)]
pub struct LineLimits {
    /// The longest line. 0 if the connection has a limit of its own: the fast path, which reads this field alone,
    /// then takes empty frames only, and leaves all others to the general path.
    bytes: LiveSetting<u32>,
    lines: LiveSetting<u32>,
    own: Option<OwnLimit>,
}

/// A limit of one connection, below the one that it shares with others.
#[derive(Debug)]
struct OwnLimit {
    bytes: usize,
    /// What comes is not cut into frames.
    raw: bool,
    shared: Arc<LineLimits>,
}

impl LineLimits {
    /// Lines of at most `bytes`, terminator excluded; 4 GiB is the most.
    pub fn new(bytes: usize) -> Self {
        let lines = LiveSetting::new(LINES_MAX);
        let limits = Self { bytes: LiveSetting::new(0), lines, own: None };
        limits.set_bytes(bytes);
        limits
    }

    /// The limits of one connection that shares these: frames of at most `bytes`, and never more than the shared
    /// limit, which is returned if `bytes` is not below it.
    pub(super) fn within(self: &Arc<Self>, bytes: usize) -> Arc<Self> {
        self.with(bytes, self.is_raw())
    }

    /// The limits of one connection that shares these, whose input is cut into frames or is not.
    pub(super) fn raw(self: &Arc<Self>, raw: bool) -> Arc<Self> {
        self.with(self.own.as_ref().map_or(usize::MAX, |own| own.bytes), raw)
    }

    fn with(self: &Arc<Self>, bytes: usize, raw: bool) -> Arc<Self> {
        let shared = self.own.as_ref().map_or(self, |own| &own.shared).clone();
        if bytes >= shared.bytes() && !raw {
            return shared;
        }
        Arc::new(Self { own: Some(OwnLimit { bytes, raw, shared }), ..Self::new(0) })
    }

    /// Whether what comes is not cut into frames.
    pub(super) fn is_raw(&self) -> bool {
        self.own.as_ref().is_some_and(|own| own.raw)
    }

    /// The longest frame, and the limits that are shared.
    pub(super) fn in_force(&self) -> (usize, &Self) {
        match &self.own {
            None => (self.bytes(), self),
            Some(OwnLimit { bytes, shared, .. }) => ((*bytes).min(shared.bytes()), shared),
        }
    }

    /// The longest line, terminator excluded.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.bytes.load() as usize
    }

    /// Most lines of a batch.
    #[inline]
    pub fn lines(&self) -> u32 {
        self.lines.load()
    }

    /// Most lines of a batch that has at most `count`: fewer while blocks are small, because a reply can be
    /// much longer than its line.
    #[inline]
    pub(crate) fn lines_max_for(&self, count: usize) -> usize {
        let lines = self.lines() as usize;
        let fewer = (lines / SMALL_BATCH_SHARE).max(SMALL_BATCH_LINES).min(lines);
        if count > fewer && block_pool::uses_small_batches() { fewer } else { lines }
    }

    /// Reserves memory for a long line when the buffer of its beginning is full: for the longest line, but at
    /// most for 32 times what there is.
    ///
    /// Doubling would copy it again and again, with old and new memory in use meanwhile. Reserved memory
    /// that was not written to takes no place, so the line costs its length.
    pub(super) fn reserve_for_rest(unfinished: &mut BytesMut, frame_bytes: usize) {
        let len = unfinished.len();
        if len >= LONG_BYTES && unfinished.capacity() - len < READ_BYTES_MIN {
            let longest = frame_bytes.saturating_add(1 + block_pool::BLOCK_BYTES);
            let enough = if longest <= 2 * GROWTH * len { longest } else { GROWTH * len };
            unfinished.reserve(enough.saturating_sub(len));
        }
    }

    /// Changes the longest line; 4 GiB is the most.
    pub fn set_bytes(&self, bytes: usize) {
        self.bytes.store(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Changes the most lines of a batch; 0 is taken as 1. Default: 16,384. Lower it for services whose
    /// replies are much longer than their lines.
    pub fn set_lines(&self, lines: u32) {
        self.lines.store(lines.max(1));
    }
}

impl Default for LineLimits {
    /// Lines of at most 64 KiB.
    fn default() -> Self {
        Self::new(64 * crate::KIB)
    }
}
