//! When a connection is due for what: pure arithmetic on times it is told, no clock and no I/O.

use std::time::Duration;

use crate::{
    stats::Nanos,
    transport::{Lapse, Phase},
};

/// How long a connection may do what. `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// Silence before a ping.
    pub heartbeat_interval: Option<Duration>,
    /// After a ping without a line.
    pub heartbeat_timeout: Duration,
    /// No line for so long.
    pub idle: Option<Duration>,
    /// From a line's first byte to its end; more bytes do not extend it.
    pub line: Option<Duration>,
    /// Unsent replies without enough progress: [`PROGRESS_BYTES`], or all there were.
    pub write: Option<Duration>,
}

/// What a peer has to take of its replies within [`Limits::write`], or all of them if they are less.
/// Any progress at all would let one that takes a byte a second keep full buffers for ever.
pub const PROGRESS_BYTES: u16 = 4096;

/// What a connection did since it parked last, and why it parks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// A whole line came in.
    pub heard: bool,
    /// A line has begun and isn't finished.
    pub mid_line: bool,
    /// Bytes of replies that wait for the socket.
    pub unsent: usize,
    /// Bytes that the socket took.
    pub wrote: u16,
    /// What it waits for now.
    pub phase: Phase,
}

/// What a note did to the deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Started {
    /// None is earlier than the earliest was.
    Nothing,
    /// A clock was started, so one may be.
    Clock,
    /// A ping was answered: the earliest is gone, and the next ping may be due before it was.
    Anew,
}

impl Started {
    const fn when(clock: bool) -> Self {
        if clock { Self::Clock } else { Self::Nothing }
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// A ping must be sent.
    Ping,
    /// The connection must end.
    End(Lapse),
}

/// What the peer still has to take before the write clock begins anew. Two bytes that stand beside
/// [`Deadlines`] and not in it, where they would take eight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owed(u16);

/// "Not running" for one of the marks below.
const NEVER: u64 = u64::MAX;

/// A connection's marks in time. 32 bytes; compared when the timer fires, not reset on activity.
///
/// ```text
///             silence for `interval`              silence for `timeout`
///   Quiet ───────────────────────────► Pinged ───────────────────────────► lapsed
///     ▲                                  │
///     └────────── any whole line ────────┘
/// ```
///
/// While a batch is being served, or replies cannot be written, nothing is read; the clocks that
/// count the peer's silence stand still meanwhile and begin anew when reading does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadlines {
    quiet_since: u64,
    pinged_at: u64,
    line_since: u64,
    write_since: u64,
}

impl Deadlines {
    /// For a connection that begins now.
    pub const fn new(now: Nanos) -> Self {
        Self { quiet_since: now.0, pinged_at: NEVER, line_since: NEVER, write_since: NEVER }
    }

    /// Takes note of what happened since the last time.
    pub fn note(&mut self, now: Nanos, seen: Seen, owed: &mut Owed) -> Started {
        let before = (self.write_since, self.line_since, self.quiet_since);
        owed.0 = owed.0.saturating_sub(seen.wrote);
        if seen.unsent == 0 {
            self.write_since = NEVER;
        } else if owed.0 == 0 || self.write_since == NEVER {
            self.write_since = now.0;
            owed.0 = seen.unsent.min(PROGRESS_BYTES.into()) as u16;
        }
        if seen.phase != Phase::Reading {
            // Not listening: whatever the peer does now, it cannot be blamed.
            self.quiet_since = NEVER;
            self.line_since = NEVER;
            self.pinged_at = NEVER;
            return Started::when(before.0 == NEVER && seen.unsent > 0);
        }
        let resumed = self.quiet_since == NEVER;
        let mut answered = false;
        if seen.heard || resumed {
            answered = self.pinged_at != NEVER;
            self.quiet_since = now.0;
            self.pinged_at = NEVER;
        }
        if !seen.mid_line {
            self.line_since = NEVER;
        } else if seen.heard || resumed || self.line_since == NEVER {
            self.line_since = now.0;
        }
        let started = |before: u64, after: u64| before == NEVER && after != NEVER;
        if answered {
            return Started::Anew;
        }
        Started::when(
            started(before.0, self.write_since)
                || started(before.1, self.line_since)
                || started(before.2, self.quiet_since),
        )
    }

    /// A ping went out.
    pub const fn pinged(&mut self, now: Nanos) {
        self.pinged_at = now.0;
    }

    /// Nobody waits for the answer to a ping any more.
    pub const fn forget_ping(&mut self) {
        self.pinged_at = NEVER;
    }

    /// The earliest deadline, and what is due then.
    pub fn next(&self, limits: &Limits) -> Option<(Nanos, Due)> {
        let heartbeat = limits.heartbeat_interval.and_then(|interval| match self.pinged_at {
            NEVER => after(self.quiet_since, interval)
                .map(|at| (at.saturating_add(jitter(self.quiet_since, interval)), Due::Ping)),
            pinged => {
                after(pinged, limits.heartbeat_timeout).map(|at| (at, Due::End(Lapse::Heartbeat)))
            }
        });
        let end = |since, limit: Option<Duration>, lapse| {
            limit.and_then(|limit| after(since, limit)).map(|at| (at, Due::End(lapse)))
        };
        [
            end(self.write_since, limits.write, Lapse::Write),
            end(self.line_since, limits.line, Lapse::Line),
            end(self.quiet_since, limits.idle, Lapse::Idle),
            heartbeat,
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
        .map(|(at, due)| (Nanos(at), due))
    }
}

/// Up to a tenth of the interval, by when the silence began: peers that fell silent together, or
/// were accepted together, are not pinged together.
fn jitter(quiet_since: u64, interval: Duration) -> u64 {
    // Multiples of the golden ratio fill an interval evenly, however close the factors lie.
    let spread = (quiet_since.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 32;
    let tenth = interval.as_nanos() as u64 / 10;
    ((u128::from(tenth) * u128::from(spread)) >> 32) as u64
}

fn after(since: u64, limit: Duration) -> Option<u64> {
    (since != NEVER).then(|| since.saturating_add(limit.as_nanos() as u64))
}
