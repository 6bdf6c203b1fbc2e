//! When a connection is due for what: pure arithmetic on times it is told, no clock and no I/O.

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::{
    stats::Nanos,
    transport::{Expired, Phase},
};

/// How long a connection may do what. `None` is for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Deadlines {
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

/// What a peer has to take of its replies within [`Deadlines::write`], or all of them if they are less.
/// Any progress at all would let one that takes a byte a second keep full buffers for ever.
pub const PROGRESS_BYTES: u16 = 4096;

/// What a connection did since it parked last, and why it parks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observation {
    /// A whole line came in.
    pub line_received: bool,
    /// A line has begun and isn't finished.
    pub mid_line: bool,
    /// Bytes of replies that wait for the socket.
    pub unsent: usize,
    /// Bytes that the socket took.
    pub written_bytes: u16,
    /// What it waits for now.
    pub phase: Phase,
}

/// What a note did to the deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rearm {
    /// None is earlier than the earliest was.
    Keep,
    /// A clock was started, so one may be.
    Clock,
    /// A ping was answered: the earliest is gone, and the next ping may be due before it was.
    Restart,
}

impl Rearm {
    const fn when(clock: bool) -> Self {
        if clock { Self::Clock } else { Self::Keep }
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A ping must be sent.
    Ping,
    /// The connection must end.
    Close(Expired),
}

/// What the peer still has to take before the write clock begins anew. Two bytes that stand beside
/// [`ConnectionTimers`] and not in it, where they would take eight.
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
pub struct ConnectionTimers {
    quiet_since: u64,
    pinged_at: u64,
    line_since: u64,
    write_since: u64,
}

impl ConnectionTimers {
    /// For a connection that begins now.
    pub const fn new(now: Nanos) -> Self {
        Self { quiet_since: now.0, pinged_at: NEVER, line_since: NEVER, write_since: NEVER }
    }

    /// Takes note of what happened since the last time.
    pub fn note(&mut self, now: Nanos, observed: Observation, owed: &mut Owed) -> Rearm {
        let before = (self.write_since, self.line_since, self.quiet_since);
        owed.0 = owed.0.saturating_sub(observed.written_bytes);
        if observed.unsent == 0 {
            self.write_since = NEVER;
        } else if owed.0 == 0 || self.write_since == NEVER {
            self.write_since = now.0;
            owed.0 = observed.unsent.min(PROGRESS_BYTES.into()) as u16;
        }
        if observed.phase != Phase::Reading {
            // Not listening: whatever the peer does now, it cannot be blamed.
            self.quiet_since = NEVER;
            self.line_since = NEVER;
            self.pinged_at = NEVER;
            return Rearm::when(before.0 == NEVER && observed.unsent > 0);
        }
        let resumed = self.quiet_since == NEVER;
        let mut answered = false;
        if observed.line_received || resumed {
            answered = self.pinged_at != NEVER;
            self.quiet_since = now.0;
            self.pinged_at = NEVER;
        }
        if !observed.mid_line {
            self.line_since = NEVER;
        } else if observed.line_received || resumed || self.line_since == NEVER {
            self.line_since = now.0;
        }
        let started = |before: u64, after: u64| before == NEVER && after != NEVER;
        if answered {
            return Rearm::Restart;
        }
        Rearm::when(
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
    pub const fn clear_ping(&mut self) {
        self.pinged_at = NEVER;
    }

    /// The earliest deadline, and what is due then.
    pub fn next(&self, deadlines: &Deadlines) -> Option<(Nanos, Action)> {
        let heartbeat = deadlines.heartbeat_interval.and_then(|interval| match self.pinged_at {
            NEVER => after(self.quiet_since, interval)
                .map(|at| (at.saturating_add(jitter(self.quiet_since, interval)), Action::Ping)),
            pinged => after(pinged, deadlines.heartbeat_timeout)
                .map(|at| (at, Action::Close(Expired::Heartbeat))),
        });
        let end = |since, limit: Option<Duration>, lapse| {
            limit.and_then(|limit| after(since, limit)).map(|at| (at, Action::Close(lapse)))
        };
        [
            end(self.write_since, deadlines.write, Expired::Write),
            end(self.line_since, deadlines.line, Expired::Line),
            end(self.quiet_since, deadlines.idle, Expired::Idle),
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
