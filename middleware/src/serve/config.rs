use std::{
    num::NonZeroU32,
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{LINGER, WritePolicy};
use crate::{AtomicRepr, LiveSetting};

/// How connections are served; those that share one see it change.
#[derive(Debug)]
pub struct ConnectionConfig {
    /// When replies are written.
    pub write_policy: LiveSetting<WritePolicy>,
    /// Reading stops while so many bytes of replies, or more, are unsent.
    pub output_bytes_max: LiveSetting<usize>,
    /// Reading also stops while any byte of replies is unsent and all connections that count in the
    /// same [`Stats`](crate::stats::Stats) together hold so many bytes, or more.
    ///
    /// It bounds what many peers that never read can have a process hold: this, and the replies to
    /// one read for each connection that has nothing unsent when it is reached.
    pub buffered_bytes_max: LiveSetting<usize>,
    /// Longest wait for the peer's own close after ours.
    pub linger: LiveSetting<Duration>,
}

impl ConnectionConfig {
    /// What holds unless told otherwise, shared by everything that nobody told.
    pub(super) fn shared_default() -> Arc<Self> {
        static STANDARD: OnceLock<Arc<ConnectionConfig>> = OnceLock::new();
        STANDARD.get_or_init(Arc::default).clone()
    }

    /// The same config on dials of their own.
    pub(super) fn detached(&self) -> Self {
        Self {
            write_policy: LiveSetting::new(self.write_policy.load()),
            output_bytes_max: LiveSetting::new(self.output_bytes_max.load()),
            buffered_bytes_max: LiveSetting::new(self.buffered_bytes_max.load()),
            linger: LiveSetting::new(self.linger.load()),
        }
    }
}

impl Default for ConnectionConfig {
    /// [`WritePolicy::Auto`], 256 KiB a connection, no bound for all together, [`LINGER`].
    fn default() -> Self {
        Self {
            write_policy: LiveSetting::new(WritePolicy::Auto),
            output_bytes_max: LiveSetting::new(256 * crate::KIB),
            buffered_bytes_max: LiveSetting::new(usize::MAX),
            linger: LiveSetting::new(LINGER),
        }
    }
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
