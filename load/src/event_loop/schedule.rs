//! The schedule of an open loop: which line is due when, whatever comes back.
//!
//! Line `k` of the lane is due `k` steps after the beginning and goes to the lane's connections in turn,
//! so when a connection's `n`-th line was due follows from `n` alone: nothing is stored per line, and a
//! reply is timed from the moment its line was *due*, however late it could be sent.

use super::conn::{Conn, State};
use super::{Lane, Share};
use crate::clock::SECOND;
use crate::plan::{ClientBehavior, Plan};

/// The lane's part of the schedule.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The lane's well-behaved connections, by their place in it.
    members: Vec<u32>,
    /// Nanoseconds between two lines of the lane.
    step: f64,
    /// How far into a step the lane's first line is, so that lanes take turns.
    phase: f64,
    start: u64,
    /// Lines handed out.
    next: u64,
}

impl Pace {
    pub(super) fn new(plan: &Plan, rate: f64, share: Share, conns: &[Conn]) -> Self {
        let polite = |(i, conn): (usize, &Conn)| conn.is_polite().then_some(i as u32);
        let members: Vec<u32> = conns.iter().enumerate().filter_map(polite).collect();
        let part = members.len() as f64
            / f64::from(plan.connections_as(ClientBehavior::WellBehaved).max(1));
        let step = SECOND as f64 / (rate * part);
        let phase = f64::from(share.index) / f64::from(share.of);
        Self { members, step, phase, start: 0, next: 0 }
    }

    pub(super) fn begin(&mut self, start: u64) {
        self.start = start;
    }

    /// A connection's turn.
    pub(super) fn rank(&self, index: usize) -> u64 {
        self.members.partition_point(|member| (*member as usize) < index) as u64
    }

    /// When the connection whose turn is `rank` was to send its line number `line`.
    pub(super) fn due(&self, rank: u64, line: u64) -> u64 {
        self.due_at(rank + line * self.members.len() as u64)
    }

    fn due_at(&self, number: u64) -> u64 {
        self.start + ((number as f64 + self.phase) * self.step) as u64
    }

    /// How many more lines are due.
    fn waiting(&self, now: u64) -> u64 {
        let steps = now.saturating_sub(self.start) as f64 / self.step - self.phase;
        let mut due = steps.max(0.0) as u64;
        // Rounding may put the boundary off by one; the schedule itself decides.
        while self.due_at(due) <= now {
            due += 1;
        }
        while due > 0 && self.due_at(due - 1) > now {
            due -= 1;
        }
        due.saturating_sub(self.next)
    }
}

impl Lane {
    /// Sends the lines that are due.
    pub(super) fn send_due(&mut self, now: u64) -> u64 {
        let Some(mut pace) = self.pace.take() else { return u64::MAX };
        let members = pace.members.len() as u64;
        let waiting = if members == 0 { 0 } else { pace.waiting(now) };
        for turn in 0..waiting.min(members) {
            let number = pace.next + turn;
            let index = pace.members[(number % members) as usize] as usize;
            let lines = (waiting - turn).div_ceil(members);
            self.ledger.lag.record(now.saturating_sub(pace.due_at(number)), lines);
            if self.conns[index].state == State::Open {
                self.conns[index].owed += lines as u32;
                self.push_out(index, now);
            } else {
                self.desk.counters.unsent += lines;
            }
        }
        pace.next += waiting;
        let due = if members == 0 { u64::MAX } else { pace.due_at(pace.next) };
        self.pace = Some(pace);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::TargetAddr;

    #[test]
    fn two_lanes_together_keep_the_rate_and_take_turns() {
        let mut plan = Plan::new(TargetAddr::resolve("127.0.0.1:9").unwrap());
        plan.connections = 4;
        let lane = |index: u32| {
            let ids = (0..4).filter(|id| id % 2 == index);
            let conns: Vec<Conn> =
                ids.map(|id| Conn::new(id, ClientBehavior::WellBehaved)).collect();
            let mut pace = Pace::new(&plan, 1000.0, Share { index, of: 2 }, &conns);
            pace.begin(SECOND);
            pace
        };
        let (even, odd) = (lane(0), lane(1));
        assert_eq!(even.waiting(SECOND), 1, "the first line is due at once");
        assert_eq!(odd.waiting(SECOND), 0);
        assert_eq!(odd.due(0, 0), SECOND + 1_000_000);
        assert_eq!(even.due(1, 0), SECOND + 2_000_000);
        assert_eq!(even.due(0, 1), SECOND + 4_000_000);
        assert_eq!(even.waiting(2 * SECOND - 1) + odd.waiting(2 * SECOND - 1), 1000);
    }
}
