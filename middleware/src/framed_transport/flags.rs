//! Facts about a connection's buffers, in two bytes.

/// One of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(super) enum Flag {
    /// The read buffer is a block of the pool, or the rest of one.
    Pooled = 1,
    /// So much was read that the codec returns slices of the block itself.
    Shares = 2,
    /// The read buffer may hold a complete item.
    Decodable = 4,
    /// The last read filled its block.
    FullRead = 8,
    /// The input has ended.
    Ended = 16,
    /// Nothing was read since the last park.
    Woken = 32,
    /// The first read after the last park was short.
    Short = 64,
    /// The read buffer may hold a complete item, and more is read before it is decoded: it came in while
    /// the batch before it was served.
    ReadAhead = 128,
    /// The stream has taken everything and has not written all of it, or has not finished its close.
    FlushPending = 256,
    /// So much of an unfinished item was read that other connections run before the rest is.
    Paused = 512,
    /// The stream took none of the last bytes that were pushed.
    PushPending = 1024,
    /// The bytes that were pushed last end inside of a message, the rest of which comes before anything else.
    InsidePush = 2048,
    /// The input is taken as it is: the rest of what it belongs to is waited for, as that of an unfinished item is.
    Raw = 4096,
}

/// A set of [`Flag`]s. As fields of their own they would make the task of a connection 128 bytes larger: it
/// fills a block of 384 bytes exactly.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Flags(u16);

impl Flags {
    #[inline]
    pub(super) const fn has(self, flag: Flag) -> bool {
        self.0 & flag as u16 != 0
    }

    #[inline]
    pub(super) const fn has_either(self, one: Flag, other: Flag) -> bool {
        self.0 & (one as u16 | other as u16) != 0
    }

    /// Whether any flag of a mask is set.
    #[inline]
    pub(super) const fn has_any(self, mask: u16) -> bool {
        self.0 & mask != 0
    }

    #[inline]
    pub(super) const fn set(&mut self, flag: Flag, value: bool) {
        let cleared = self.0 & !(flag as u16);
        self.0 = if value { cleared | flag as u16 } else { cleared };
    }

    /// Returns whether the flag was set, and clears it.
    #[inline]
    pub(super) const fn take(&mut self, flag: Flag) -> bool {
        let had = self.has(flag);
        self.set(flag, false);
        had
    }
}
