//! The schedule of paced mode (an open loop): when each line is due, whatever the server does.
//!
//! Line `k` of an event loop is due `k` steps after the start, and the loop's connections take the lines
//! in turn. The due time of a connection's `n`-th line follows from `n`, so nothing is stored per line,
//! and a reply is timed from when its line was *due*, however late it was sent.

use super::conn::{Conn, State};
use super::{EventLoop, Share};
use crate::clock::SECOND;
use crate::plan::{ClientBehavior, Plan};

/// The event loop's part of the schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// Indices of the loop's well-behaved connections.
    members: Vec<u32>,
    /// Nanoseconds between two lines of the loop.
    step: f64,
    /// Offset of the loop's first line as a fraction of a step, so that loops alternate.
    phase: f64,
    start: u64,
    /// Lines that were due so far.
    next: u64,
}

impl Schedule {
    pub(super) fn new(plan: &Plan, rate: f64, share: Share, conns: &[Conn]) -> Self {
        let well_behaved = |(i, conn): (usize, &Conn)| conn.is_well_behaved().then_some(i as u32);
        let members: Vec<u32> = conns.iter().enumerate().filter_map(well_behaved).collect();
        let part = members.len() as f64
            / f64::from(plan.connections_as(ClientBehavior::WellBehaved).max(1));
        let step = SECOND as f64 / (rate * part);
        let phase = f64::from(share.index) / f64::from(share.of);
        Self { members, step, phase, start: 0, next: 0 }
    }

    pub(super) fn begin(&mut self, start: u64) {
        self.start = start;
    }

    /// The position of a connection among those that take lines in turn.
    pub(super) fn rank(&self, index: usize) -> u64 {
        self.members.partition_point(|member| (*member as usize) < index) as u64
    }

    /// When line number `line` of the connection at position `rank` is due.
    pub(super) fn due(&self, rank: u64, line: u64) -> u64 {
        self.due_at(rank + line * self.members.len() as u64)
    }

    fn due_at(&self, number: u64) -> u64 {
        self.start + ((number as f64 + self.phase) * self.step) as u64
    }

    /// The number of further lines due by `now`.
    fn waiting(&self, now: u64) -> u64 {
        let steps = now.saturating_sub(self.start) as f64 / self.step - self.phase;
        let mut due = steps.max(0.0) as u64;
        // The division may be off by one through rounding; `due_at` decides.
        while self.due_at(due) <= now {
            due += 1;
        }
        while due > 0 && self.due_at(due - 1) > now {
            due -= 1;
        }
        due.saturating_sub(self.next)
    }
}

impl EventLoop {
    /// Sends the lines that are due; returns when the next line is.
    pub(super) fn send_due(&mut self, now: u64) -> u64 {
        let Some(mut schedule) = self.schedule.take() else { return u64::MAX };
        let members = schedule.members.len() as u64;
        let waiting = if members == 0 { 0 } else { schedule.waiting(now) };
        for offset in 0..waiting.min(members) {
            let number = schedule.next + offset;
            let index = schedule.members[(number % members) as usize] as usize;
            let lines = (waiting - offset).div_ceil(members);
            self.stats.lag.record(now.saturating_sub(schedule.due_at(number)), lines);
            if self.conns[index].state == State::Open {
                self.conns[index].pending += lines as u32;
                self.send_pending(index, now);
            } else {
                self.checker.counters.unsent += lines;
            }
        }
        schedule.next += waiting;
        let due = if members == 0 { u64::MAX } else { schedule.due_at(schedule.next) };
        self.schedule = Some(schedule);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TargetAddr;

    #[test]
    fn two_event_loops_keep_the_rate_and_alternate() {
        let mut plan = Plan::new(TargetAddr::resolve("127.0.0.1:9").unwrap());
        plan.connections = 4;
        let schedule = |index: u32| {
            let ids = (0..4).filter(|id| id % 2 == index);
            let conns: Vec<Conn> =
                ids.map(|id| Conn::new(id, ClientBehavior::WellBehaved)).collect();
            let mut schedule = Schedule::new(&plan, 1000.0, Share { index, of: 2 }, &conns);
            schedule.begin(SECOND);
            schedule
        };
        let (even, odd) = (schedule(0), schedule(1));
        assert_eq!(even.waiting(SECOND), 1, "the first line is due at once");
        assert_eq!(odd.waiting(SECOND), 0);
        assert_eq!(odd.due(0, 0), SECOND + 1_000_000);
        assert_eq!(even.due(1, 0), SECOND + 2_000_000);
        assert_eq!(even.due(0, 1), SECOND + 4_000_000);
        assert_eq!(even.waiting(2 * SECOND - 1) + odd.waiting(2 * SECOND - 1), 1000);
    }
}
