use std::time::Duration;

/// How long a connection may be silent, take for a line, and leave replies unread. `None` turns a
/// deadline off; by [`Default`] all are off.
///
/// ```
/// use std::time::Duration;
/// use towline_middleware::heartbeat::Deadlines;
///
/// const DEADLINES: Deadlines = Deadlines::new()
///     .heartbeat(Some(Duration::from_secs(30)), Duration::from_secs(10))
///     .write(Some(Duration::from_secs(10)));
/// assert_eq!(DEADLINES.idle, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Deadlines {
    /// Silence after which a `ping` is sent.
    pub heartbeat_interval: Option<Duration>,
    /// Time after a `ping` in which a line must come.
    pub heartbeat_timeout: Duration,
    /// Time in which a line must come, pings or not.
    pub idle: Option<Duration>,
    /// Time from a line's first byte to its end; more bytes do not extend it.
    pub line: Option<Duration>,
    /// Time in which the peer must take [`PROGRESS_BYTES`] of its replies, or all of them.
    pub write: Option<Duration>,
}

/// What a peer must take of its replies within [`Deadlines::write`], or all of them if they are less.
/// If any progress counted, a peer that takes a byte a second would keep full buffers for ever.
pub const PROGRESS_BYTES: u16 = 4096;

impl Deadlines {
    /// All off.
    pub const fn new() -> Self {
        Self {
            heartbeat_interval: None,
            heartbeat_timeout: Duration::ZERO,
            idle: None,
            line: None,
            write: None,
        }
    }

    /// Sends a `ping` after `interval` of silence and closes the connection if no line comes within
    /// `timeout` of it. Default: off.
    #[must_use]
    pub const fn heartbeat(mut self, interval: Option<Duration>, timeout: Duration) -> Self {
        self.heartbeat_interval = interval;
        self.heartbeat_timeout = timeout;
        self
    }

    /// Closes a connection that sends no line for `timeout`. Default: off.
    #[must_use]
    pub const fn idle(mut self, timeout: Option<Duration>) -> Self {
        self.idle = timeout;
        self
    }

    /// Closes a connection that does not finish a line within `deadline` of its first byte.
    /// Default: off.
    #[must_use]
    pub const fn line(mut self, deadline: Option<Duration>) -> Self {
        self.line = deadline;
        self
    }

    /// Closes a connection whose peer takes less than [`PROGRESS_BYTES`] of its replies in `timeout`,
    /// and not all of them. Default: off.
    #[must_use]
    pub const fn write(mut self, timeout: Option<Duration>) -> Self {
        self.write = timeout;
        self
    }
}
