//! The progress of a run on standard error: one line, updated in place, on a terminal; a plain line per
//! interval elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use rustix::termios::tcgetwinsize;
use towline_units::human;

use super::totals::{IntervalLatency, RunTotals};
use crate::clock::{SECOND, seconds};
use crate::counters::Counters;
use crate::event_loop::Timing;
use crate::plan::Plan;

/// The width assumed of a terminal that does not report one.
const COLUMNS: usize = 80;

/// What is shown of a run while it goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Progress {
    /// Nothing.
    #[default]
    Quiet,
    /// Progress on standard error: updated in place on a terminal, a plain line per second elsewhere.
    Auto,
}

/// Shows the progress of a run.
#[derive(Debug)]
pub(super) struct ProgressDisplay {
    shown: bool,
    terminal: bool,
    requested: u32,
    start: u64,
    next: u64,
    every: u64,
    /// Length of an interval of the timeline.
    interval: u64,
    /// The first interval that was not shown.
    until: u64,
}

impl ProgressDisplay {
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

    /// Shows what is new, if the last line is old enough.
    pub(super) fn update(&mut self, totals: &RunTotals, now: u64) {
        if !self.shown || now < self.next {
            return;
        }
        let Some((counted, until)) = whole_intervals(totals, self.until) else { return };
        self.next = now + self.every;
        let span = seconds((until - self.until) * self.interval);
        self.until = until;
        let parts = self.parts(totals, &counted, span, now);
        let mut out = io::stderr().lock();
        // A run goes on although its progress cannot be written.
        let _ = if self.terminal {
            // The last column stays free: a character there would move some terminals to the next line.
            let line = fitting(&parts, columns().saturating_sub(1));
            write!(out, "\r\x1b[K{line}").and_then(|()| out.flush())
        } else {
            writeln!(out, "{}", fitting(&parts, usize::MAX))
        };
    }

    /// Erases the line on a terminal.
    pub(super) fn clear(&self) {
        if self.shown && self.terminal {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }

    /// The parts of the line, most important first.
    fn parts(&self, totals: &RunTotals, counted: &Counters, span: f64, now: u64) -> Vec<String> {
        let total = totals.counters();
        let phase = match (now >= totals.stop_at, now >= totals.steady_at) {
            (true, _) => "drain",
            (_, true) => "load",
            _ => "ramp",
        };
        let latency = totals.timeline.values().rev().find_map(|interval| match &interval.latency {
            IntervalLatency::Open(hist) if hist.count() > 0 => Some((hist.at(0.5), hist.at(0.99))),
            _ => None,
        });
        let errors = total.connect_failed() + total.closed_early() + total.timeout;
        let wrong = total.wrong();
        let mut parts = vec![
            format!("{:6.1} s  {phase:5}", seconds(now.saturating_sub(self.start))),
            format!("{}/{} open", totals.open(), self.requested),
            format!("{} lines/s", human::short(counted.lines_received as f64 / span)),
        ];
        if wrong > 0 {
            parts.push(format!("{wrong} WRONG"));
        }
        if errors > 0 {
            parts.push(format!("{errors} errors"));
        }
        if let Some((p50, p99)) = latency {
            parts.push(format!("p50 {}", human::nanos(p50)));
            parts.push(format!("p99 {}", human::nanos(p99)));
        }
        parts.push(format!("up {}", human::mbps(counted.bytes_sent as f64 / span)));
        parts.push(format!("down {}", human::mbps(counted.bytes_received as f64 / span)));
        parts
    }
}

/// As many of the first parts as fit the width, with two spaces in between.
fn fitting(parts: &[String], columns: usize) -> String {
    let mut line = String::new();
    for part in parts {
        let gap = if line.is_empty() { "" } else { "  " };
        if line.chars().count() + gap.len() + part.chars().count() > columns {
            break;
        }
        line.push_str(gap);
        line.push_str(part);
    }
    line
}

/// The width of the terminal that standard error is; [`COLUMNS`] if it does not report one.
fn columns() -> usize {
    let size = tcgetwinsize(io::stderr());
    size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(COLUMNS)
}

/// What was counted in the intervals from `from` on that every event loop has reported, and the first
/// interval that not every loop has reported.
///
/// Loops report an interval shortly after its end, so all have reported those before the newest. A rate
/// over the time since the last update would sometimes count two intervals as one.
fn whole_intervals(totals: &RunTotals, from: u64) -> Option<(Counters, u64)> {
    let (&newest, _) = totals.timeline.last_key_value()?;
    let mut counted = Counters::default();
    let reported = (from < newest).then(|| totals.timeline.range(from..newest))?;
    reported.for_each(|(_, interval)| counted.add(&interval.counters));
    Some((counted, newest))
}

#[cfg(test)]
mod tests {
    use super::super::event::{Event, IntervalSample, Phase};
    use super::*;
    use crate::histogram::Hist;

    fn sample(loop_index: u32, interval: u64, lines_received: u64) -> Event {
        Event::Interval(Box::new(IntervalSample {
            loop_index,
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

    /// Every seventh progress line showed twice the true rate: an update that was a little late found
    /// the lines of two intervals, and divided them by the second since the last update.
    #[test]
    fn lines_are_shown_over_the_intervals_in_which_they_were_counted() {
        let mut totals = RunTotals::new(Timing { start: 0, interval: SECOND });
        let shown = |totals: &RunTotals, from| {
            whole_intervals(totals, from).map(|(made, until)| (made.lines_received, until))
        };
        assert_eq!(shown(&totals, 0), None);
        totals.add(sample(0, 0, 100));
        totals.add(sample(1, 0, 10));
        assert_eq!(shown(&totals, 0), None, "the other loop may still report it");
        totals.add(sample(0, 1, 200));
        assert_eq!(shown(&totals, 0), Some((110, 1)));
        assert_eq!(shown(&totals, 1), None);
        totals.add(sample(1, 1, 20));
        totals.add(sample(0, 2, 300));
        totals.add(sample(0, 3, 400));
        assert_eq!(shown(&totals, 1), Some((520, 3)));
    }

    #[test]
    fn a_line_holds_only_whole_parts_that_fit() {
        let parts = ["12.0 s", "5 of 5 connections", "p50 41.0 µs"].map(str::to_owned);
        assert_eq!(fitting(&parts, usize::MAX), "12.0 s  5 of 5 connections  p50 41.0 µs");
        assert_eq!(fitting(&parts, 39), "12.0 s  5 of 5 connections  p50 41.0 µs");
        assert_eq!(fitting(&parts, 38), "12.0 s  5 of 5 connections");
        assert_eq!(fitting(&parts, 3), "");
    }
}
