use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{FlushPolicy, LINGER};
use crate::{Dial, Position};

/// How connections are served; those that share one see it change.
#[derive(Debug)]
pub struct Rules {
    /// When replies are written.
    pub flush: Dial<FlushPolicy>,
    /// Reading stops while so many bytes of replies, or more, are unsent.
    pub output_bytes_max: Dial<usize>,
    /// Reading also stops while any byte of replies is unsent and all connections that count in the
    /// same [`Stats`](crate::stats::Stats) together hold so many bytes, or more.
    ///
    /// It bounds what many peers that never read can have a process hold: this, and the replies to
    /// one read for each connection that has nothing unsent when it is reached.
    pub held_bytes_max: Dial<usize>,
    /// Longest wait for the peer's own close after ours.
    pub linger: Dial<Duration>,
}

impl Rules {
    /// What holds unless told otherwise, shared by everything that nobody told.
    pub(super) fn standard() -> Arc<Self> {
        static STANDARD: OnceLock<Arc<Rules>> = OnceLock::new();
        STANDARD.get_or_init(Arc::default).clone()
    }

    /// The same rules on dials of their own.
    pub(super) fn apart(&self) -> Self {
        Self {
            flush: Dial::new(self.flush.get()),
            output_bytes_max: Dial::new(self.output_bytes_max.get()),
            held_bytes_max: Dial::new(self.held_bytes_max.get()),
            linger: Dial::new(self.linger.get()),
        }
    }
}

impl Default for Rules {
    /// [`FlushPolicy::Auto`], 256 KiB a connection, no bound for all together, [`LINGER`].
    fn default() -> Self {
        Self {
            flush: Dial::new(FlushPolicy::Auto),
            output_bytes_max: Dial::new(256 * crate::KIB),
            held_bytes_max: Dial::new(usize::MAX),
            linger: Dial::new(LINGER),
        }
    }
}

impl Position for FlushPolicy {
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
