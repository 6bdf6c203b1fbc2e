//! What is shown while a run goes on, on standard error: one line that renews itself on a terminal,
//! plain lines elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use towline_units::human;

use super::totals::{Latency, Outcome};
use crate::clock::{SECOND, seconds};
use crate::counters::Counters;
use crate::event_loop::Timing;
use crate::plan::Plan;

/// Whom to show what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nobody.
    #[default]
    Quiet,
    /// Whoever watches standard error: live on a terminal, a plain line a second elsewhere.
    Auto,
}

/// The display.
#[derive(Debug)]
pub(super) struct Show {
    shown: bool,
    terminal: bool,
    requested: u32,
    start: u64,
    next: u64,
    every: u64,
    /// Length of an interval of the timeline.
    interval: u64,
    /// Intervals whose lines were shown.
    until: u64,
}

impl Show {
    pub(super) fn new(progress: Progress, plan: &Plan, timing: Timing) -> Self {
        let terminal = io::stderr().is_terminal();
        let every = if terminal { SECOND / 4 } else { SECOND };
        Self {
            shown: progress == Progress::Auto,
            terminal,
            requested: plan.connections,
            start: timing.start,
            next: timing.start + every.max(timing.interval),
            every: every.max(timing.interval),
            interval: timing.interval,
            until: 0,
        }
    }

    pub(super) fn update(&mut self, outcome: &Outcome, now: u64) {
        if !self.shown || now < self.next {
            return;
        }
        let Some((made, until)) = whole_intervals(outcome, self.until) else { return };
        self.next = now + self.every;
        let span = seconds((until - self.until) * self.interval);
        self.until = until;
        let total = outcome.total();
        let phase = match (now >= outcome.stop_at, now >= outcome.steady_at) {
            (true, _) => "drain",
            (_, true) => "load",
            _ => "ramp",
        };
        let latency =
            outcome.timeline.values().rev().find_map(|interval| match &interval.latency {
                Latency::Open(hist) if hist.count() > 0 => Some((hist.at(0.5), hist.at(0.99))),
                _ => None,
            });
        let latency = latency
            .map(|(p50, p99)| format!("  p50 {} p99 {}", human::nanos(p50), human::nanos(p99)));
        let errors = total.connect_failed() + total.closed_early() + total.timeout;
        let mismatched = total.mismatched() + total.missing;
        let line = format!(
            "{:6.1} s  {phase:5}  {} of {} connections  {} lines/s  up {} down {}{}{}{}",
            seconds(now.saturating_sub(self.start)),
            outcome.open(),
            self.requested,
            human::short(made.lines_received as f64 / span),
            human::mbps(made.bytes_sent as f64 / span),
            human::mbps(made.bytes_received as f64 / span),
            latency.unwrap_or_default(),
            if errors > 0 { format!("  {errors} errors") } else { String::new() },
            if mismatched > 0 { format!("  {mismatched} WRONG") } else { String::new() },
        );
        let mut out = io::stderr().lock();
        // A display that cannot be written to is not worth ending a run for.
        let _ = if self.terminal {
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{line}")
        };
    }

    pub(super) fn end(&self) {
        if self.shown && self.terminal {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

/// What was made in the intervals from `from` on that every lane has told of, and the first that not
/// every lane has.
///
/// Lanes tell of an interval when it is over, one after the other: all have told of those before the
/// newest. What was told since the last look, over the time since then, would now and then take two
/// intervals for one.
fn whole_intervals(outcome: &Outcome, from: u64) -> Option<(Counters, u64)> {
    let (&newest, _) = outcome.timeline.last_key_value()?;
    let mut made = Counters::default();
    let told = (from < newest).then(|| outcome.timeline.range(from..newest))?;
    told.for_each(|(_, interval)| made.add(&interval.counters));
    Some((made, newest))
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, Phase, Tick};
    use super::*;
    use crate::histogram::Hist;

    fn tick(lane: u32, interval: u64, lines_received: u64) -> Event {
        Event::Tick(Box::new(Tick {
            lane,
            phase: Phase::Steady,
            from: interval * SECOND,
            to: (interval + 1) * SECOND,
            open: 1,
            ramped: true,
            counters: Counters { lines_received, ..Counters::default() },
            service: Hist::default(),
            response: Hist::default(),
        }))
    }

    /// Every seventh line showed twice the rate there was: a look that came a little late found two
    /// intervals' lines and took them for those of the second since the look before.
    #[test]
    fn lines_are_shown_over_the_intervals_they_were_made_in() {
        let mut outcome = Outcome::new(Timing { start: 0, interval: SECOND });
        let shown = |outcome: &Outcome, from| {
            whole_intervals(outcome, from).map(|(made, until)| (made.lines_received, until))
        };
        assert_eq!(shown(&outcome, 0), None);
        outcome.take(tick(0, 0, 100));
        outcome.take(tick(1, 0, 10));
        assert_eq!(shown(&outcome, 0), None, "another lane may have something to tell of it");
        outcome.take(tick(0, 1, 200));
        assert_eq!(shown(&outcome, 0), Some((110, 1)));
        assert_eq!(shown(&outcome, 1), None);
        outcome.take(tick(1, 1, 20));
        outcome.take(tick(0, 2, 300));
        outcome.take(tick(0, 3, 400));
        assert_eq!(shown(&outcome, 1), Some((520, 3)));
    }
}
