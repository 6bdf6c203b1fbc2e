//! What is shown while a run goes on, on standard error: one line that renews itself on a terminal,
//! plain lines elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use super::outcome::{Latency, Outcome};
use crate::clock::{SECOND, seconds};
use crate::counters::Counters;
use crate::lane::Timing;
use crate::plan::Plan;
use crate::report::human;

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
    last: (u64, Counters),
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
            last: (timing.start, Counters::default()),
        }
    }

    pub(super) fn update(&mut self, outcome: &Outcome, now: u64) {
        if !self.shown || now < self.next {
            return;
        }
        self.next = now + self.every;
        let total = outcome.total();
        let span = seconds(now - self.last.0);
        let made = total.since(&self.last.1);
        self.last = (now, total);
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
            human::rate(made.lines_received as f64 / span),
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
