use crate::{LiveSetting, thread_context::block_pool};

/// Most lines of a batch unless told otherwise. Only batches of very short lines come near it: it
/// bounds what a reply of fixed size a line, such as an error, can grow to.
pub const LINES_MAX: u32 = 16 * 1024;

/// So many times fewer while memory is spared: where 4,096 digests in hexadecimal answer a block,
/// 128 of them, that fill a small one. Lines of 16 bytes fill it before there are too many of them.
const SMALL_BATCH_SHARE: usize = 32;

/// How long a line and how large a batch may be. Connections that share one see it change.
#[derive(Debug)]
pub struct LineLimits {
    bytes: LiveSetting<u32>,
    lines: LiveSetting<u32>,
}

impl LineLimits {
    /// Lines of at most `bytes`, terminator excluded; 4 GiB is the most.
    pub fn new(bytes: usize) -> Self {
        let limits = Self { bytes: LiveSetting::new(0), lines: LiveSetting::new(LINES_MAX) };
        limits.set_bytes(bytes);
        limits
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

    /// Most lines of a batch that could have `count`: fewer while memory is spared, because a reply
    /// can be much longer than its line.
    #[inline]
    pub(crate) fn lines_max_for(&self, count: usize) -> usize {
        let lines = self.lines() as usize;
        let fewer = (lines / SMALL_BATCH_SHARE).max(1);
        if count > fewer && block_pool::uses_small_blocks() { fewer } else { lines }
    }

    /// Changes the longest line; 4 GiB is the most.
    pub fn set_bytes(&self, bytes: usize) {
        self.bytes.store(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    /// Cuts batches of at most so many lines, 16,384 unless told otherwise; 0 is taken as 1. For
    /// services whose replies are much longer than their lines.
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
