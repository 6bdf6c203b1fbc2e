//! When a connection is due for what: arithmetic on given times, no clock and no I/O.

#[cfg(test)]
mod tests;

use std::time::Duration;

use super::{Deadlines, PROGRESS_BYTES};
use crate::{
    clock::Nanos,
    transport::{Expired, Phase},
};

/// What a connection did since it parked last, and why it parks now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observation {
    /// A whole line came in.
    pub(super) line_received: bool,
    /// A line has begun and is not finished.
    pub(super) mid_line: bool,
    /// Bytes of replies that wait for the socket.
    pub(super) unsent: usize,
    /// Bytes that the socket took.
    pub(super) written_bytes: u16,
    /// What the connection waits for now.
    pub(super) phase: Phase,
}

/// What an observation means for the armed timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rearm {
    /// No deadline is earlier than the earliest was: the timer stays.
    Keep,
    /// A deadline began to run, and may be the earliest.
    Started,
    /// A ping was answered: the earliest deadline is gone, and the next ping may be due before it was.
    Answered,
}

impl Rearm {
    const fn started(any: bool) -> Self {
        if any { Self::Started } else { Self::Keep }
    }
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    /// Send a ping.
    Ping,
    /// Close the connection.
    Close(Expired),
}

/// "Not running" for one of the timestamps below.
const NEVER: u64 = u64::MAX;

/// When each of a connection's deadlines began to run: 32 bytes, compared when the timer fires, not
/// reset on activity.
///
/// ```text
///             silence for `interval`              silence for `timeout`
///   Quiet ───────────────────────────► Pinged ───────────────────────────► expired
///     ▲                                  │
///     └────────── any whole line ────────┘
/// ```
///
/// While a batch is being served, or replies cannot be written, nothing is read; the deadlines for the
/// peer's silence do not run then and begin anew when reading does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConnectionTimers {
    quiet_since: u64,
    pinged_at: u64,
    line_since: u64,
    write_since: u64,
}

impl ConnectionTimers {
    /// Timers of a connection that begins now.
    pub(super) const fn new(now: Nanos) -> Self {
        Self { quiet_since: now.0, pinged_at: NEVER, line_since: NEVER, write_since: NEVER }
    }

    /// Records what happened since the last observation.
    ///
    /// `unread` is what the peer must still take before the write deadline begins anew. The caller keeps
    /// it, two bytes, where it needs no eight.
    // Called once a park; the compiler would emit a call for it.
    #[inline(always)]
    pub(super) fn observe(
        &mut self,
        now: Nanos,
        observation: Observation,
        unread: &mut u16,
    ) -> Rearm {
        let Observation { line_received, mid_line, unsent, written_bytes, phase } = observation;
        let before = (self.write_since, self.line_since, self.quiet_since);
        *unread = unread.saturating_sub(written_bytes);
        if unsent == 0 {
            self.write_since = NEVER;
        } else if *unread == 0 || self.write_since == NEVER {
            self.write_since = now.0;
            *unread = unsent.min(PROGRESS_BYTES.into()) as u16;
        }
        if phase != Phase::Reading {
            // The server does not read, so the peer's silence says nothing.
            self.quiet_since = NEVER;
            self.line_since = NEVER;
            self.pinged_at = NEVER;
            return Rearm::started(before.0 == NEVER && unsent > 0);
        }
        let resumed = self.quiet_since == NEVER;
        let mut answered = false;
        if line_received || resumed {
            answered = self.pinged_at != NEVER;
            self.quiet_since = now.0;
            self.pinged_at = NEVER;
        }
        if !mid_line {
            self.line_since = NEVER;
        } else if line_received || resumed || self.line_since == NEVER {
            self.line_since = now.0;
        }
        let started = |before: u64, after: u64| before == NEVER && after != NEVER;
        if answered {
            return Rearm::Answered;
        }
        Rearm::started(
            started(before.0, self.write_since)
                || started(before.1, self.line_since)
                || started(before.2, self.quiet_since),
        )
    }

    /// Records that a ping was sent.
    pub(super) const fn ping_sent(&mut self, now: Nanos) {
        self.pinged_at = now.0;
    }

    /// Stops waiting for the answer to a ping.
    pub(super) const fn clear_ping(&mut self) {
        self.pinged_at = NEVER;
    }

    /// The earliest deadline, and what is due then.
    pub(super) fn next(&self, deadlines: &Deadlines) -> Option<(Nanos, Action)> {
        let heartbeat = deadlines.heartbeat_interval.and_then(|interval| match self.pinged_at {
            NEVER => after(self.quiet_since, interval)
                .map(|at| (at.saturating_add(jitter(self.quiet_since, interval)), Action::Ping)),
            pinged => after(pinged, deadlines.heartbeat_timeout)
                .map(|at| (at, Action::Close(Expired::Heartbeat))),
        });
        let close = |since, limit: Option<Duration>, expired| {
            limit.and_then(|limit| after(since, limit)).map(|at| (at, Action::Close(expired)))
        };
        [
            close(self.write_since, deadlines.write, Expired::Write),
            close(self.line_since, deadlines.line, Expired::Line),
            close(self.quiet_since, deadlines.idle, Expired::Idle),
            heartbeat,
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
        .map(|(at, action)| (Nanos(at), action))
    }
}

/// Up to a tenth of the interval, by when the silence began: peers that fell silent together, or were
/// accepted together, are not pinged together.
fn jitter(quiet_since: u64, interval: Duration) -> u64 {
    // Multiples of the golden ratio fill an interval evenly, however close the factors lie.
    let spread = (quiet_since.wrapping_mul(0x9E37_79B9_7F4A_7C15)) >> 32;
    let tenth = interval.as_nanos() as u64 / 10;
    ((u128::from(tenth) * u128::from(spread)) >> 32) as u64
}

fn after(since: u64, limit: Duration) -> Option<u64> {
    (since != NEVER).then(|| since.saturating_add(limit.as_nanos() as u64))
}

/// The moment at which a timer for a deadline at `at` fires: up to the 256th part of the wait late, and
/// the same for many connections. A thread with many connections then wakes for several at a time, and a
/// host with a million spends its time on them and not on waking.
pub(super) const fn coalesced(now: Nanos, at: Nanos) -> Nanos {
    let wait = at.0.saturating_sub(now.0);
    // The largest power of two that is not above that part.
    let Some(shift) = (wait / 256).checked_ilog2() else { return at };
    let grain = (1_u64 << shift) - 1;
    Nanos(at.0.saturating_add(grain) & !grain)
}
