use std::num::NonZeroU32;

use crate::live_setting::AtomicRepr;

/// When replies are written to the socket.
///
/// Whatever the policy, nothing stays buffered while the task parks: a peer that sends nine lines and
/// waits gets nine replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WritePolicy {
    /// After each batch: what one read brought is answered by one write. Batching then follows the peer's
    /// own pipelining and adds no delay. The default.
    #[default]
    Auto,
    /// After this many lines, and before the task parks. One is a write for each line, which costs a
    /// thousand times as much in a flood.
    Every(NonZeroU32),
}

impl AtomicRepr for WritePolicy {
    fn to_bits(self) -> u64 {
        match self {
            Self::Auto => 0,
            Self::Every(lines) => lines.get().into(),
        }
    }

    fn from_bits(bits: u64) -> Self {
        let lines = u32::try_from(bits).ok().and_then(NonZeroU32::new);
        lines.map_or(Self::Auto, Self::Every)
    }
}
