use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::WritePolicy;
use crate::{live_setting::LiveSetting, protocol::HALF_CLOSE};

/// Default for the longest wait for the peer's close after ours.
pub const LINGER: Duration = Duration::from_secs(2);

/// Default for the most bytes of replies that are unsent while the connection reads.
const OUTPUT_BYTES_MAX: usize = 256 * crate::KIB;

/// How connections are served. Connections that share one see it change.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use towline_middleware::{Echo, serve::{ConnectionConfig, Serve}};
///
/// let config = Arc::new(ConnectionConfig::default());
/// let serve = Serve::new(Echo).config(config.clone());
/// // Later, for the connections that are open too:
/// config.set_linger(Duration::from_millis(500));
/// ```
#[derive(Debug)]
#[repr(align(128))] // Shards share no cache line: see docs/BENCHMARKS.md, "Threads".
pub struct ConnectionConfig {
    pub(super) write_policy: LiveSetting<WritePolicy>,
    pub(super) output_bytes_max: LiveSetting<usize>,
    pub(super) buffered_bytes_max: LiveSetting<usize>,
    pub(super) eviction_bytes: LiveSetting<usize>,
    pub(super) linger: LiveSetting<Duration>,
    pub(super) half_close: LiveSetting<Option<Duration>>,
    pub(super) throttles: LiveSetting<bool>,
}

impl ConnectionConfig {
    /// The defaults, shared by every `Serve` that was not configured.
    pub(super) fn shared_default() -> Arc<Self> {
        static DEFAULT: OnceLock<Arc<ConnectionConfig>> = OnceLock::new();
        DEFAULT.get_or_init(Arc::default).clone()
    }

    /// A configuration of the same values that is not shared.
    pub(super) fn detached(&self) -> Self {
        Self {
            write_policy: LiveSetting::new(self.write_policy.load()),
            output_bytes_max: LiveSetting::new(self.output_bytes_max.load()),
            buffered_bytes_max: LiveSetting::new(self.buffered_bytes_max.load()),
            eviction_bytes: LiveSetting::new(self.eviction_bytes.load()),
            linger: LiveSetting::new(self.linger.load()),
            half_close: LiveSetting::new(self.half_close.load()),
            throttles: LiveSetting::new(self.throttles.load()),
        }
    }

    /// Changes when replies are written. Default: [`WritePolicy::Auto`].
    pub fn set_write_policy(&self, policy: WritePolicy) {
        self.write_policy.store(policy);
    }

    /// A connection stops reading while this many bytes of its replies, or more, are unsent.
    /// Default: 256 KiB.
    pub fn set_output_bytes_max(&self, bytes: usize) {
        self.output_bytes_max.store(bytes);
    }

    /// A connection also stops reading while any byte of its replies is unsent and all connections that
    /// count in the same [`Stats`](crate::stats::Stats) together buffer this many bytes, or more.
    /// Default: no limit.
    ///
    /// It bounds what many peers that never read can make a process hold: this, and the replies to one read
    /// for each connection that has nothing unsent when the limit is reached.
    pub fn set_buffered_bytes_max(&self, bytes: usize) {
        self.buffered_bytes_max.store(bytes);
    }

    /// While all connections that count in the same [`Stats`](crate::stats::Stats) together buffer more
    /// bytes than this, those whose clients hold an unfinished line or unsent replies are closed as
    /// [`CloseReason::Overload`](crate::stats::CloseReason::Overload): those that hold the most first, by
    /// power of two, then those that have held it longest. Default: no limit.
    ///
    /// Checked when a connection parks with more than 128 bytes buffered;
    /// [`Stats::evict_above`](crate::stats::Stats::evict_above) checks it at any other time. What is in
    /// service counts towards the limit and is not closed for it.
    pub fn set_eviction_bytes(&self, bytes: usize) {
        self.eviction_bytes.store(bytes);
    }

    /// Changes the longest wait for the peer's close after ours. Default: 2 s.
    pub fn set_linger(&self, timeout: Duration) {
        self.linger.store(timeout);
    }

    /// Changes how long a call goes on whose peer has half-closed: a peer that only ends its sending side
    /// waits for its replies, and one that is gone looks the same. The call is then cancelled, and the
    /// connection ends as [`PeerEof`](crate::stats::CloseReason::PeerEof). With `None` a call goes on until
    /// it is done. A reset cancels a call at once. Default: 500 ms.
    pub fn set_half_close(&self, grace: impl Into<Option<Duration>>) {
        self.half_close.store(grace.into());
    }

    /// Whether batches are counted by the [throttle](crate::serve::Serve::throttle). Default: `false`.
    pub fn set_throttles(&self, throttles: bool) {
        self.throttles.store(throttles);
    }
}

impl Default for ConnectionConfig {
    /// The default of each setter.
    fn default() -> Self {
        Self {
            write_policy: LiveSetting::new(WritePolicy::Auto),
            output_bytes_max: LiveSetting::new(OUTPUT_BYTES_MAX),
            buffered_bytes_max: LiveSetting::new(usize::MAX),
            eviction_bytes: LiveSetting::new(usize::MAX),
            linger: LiveSetting::new(LINGER),
            half_close: LiveSetting::new(Some(HALF_CLOSE)),
            throttles: LiveSetting::new(false),
        }
    }
}
