//! The drain: no new lines are sent, and replies to those sent are waited for. In idle mode every
//! connection now sends one line.

use super::EventLoop;
use super::conn::{Conn, Interest, State};
use crate::clock::MILLI;
use crate::plan::Mode;

/// Time to wait for surplus replies once every line has its reply (`--verify`).
const SURPLUS_WAIT: u64 = 200 * MILLI;
/// Interval between checks of whether the drain is over.
const CHECK_INTERVAL: u64 = 10 * MILLI;
/// Idle connections of one event loop that wait for the reply to their line at the same time.
const SWEEP_MAX: u32 = 256;

/// The state of the drain.
#[derive(Debug)]
pub(crate) struct Drain {
    began: u64,
    pub(super) next_check: u64,
    surplus_until: Option<u64>,
    pub(super) over: bool,
    /// Index of the next idle connection that sends its line; past the end if none is left.
    sweep_next: usize,
    sweeping: u32,
}

impl Drain {
    /// Notes that a connection ended with `outstanding` lines unanswered.
    pub(super) fn connection_closed(&mut self, outstanding: u64) {
        self.sweeping = self.sweeping.saturating_sub(u32::from(outstanding > 0));
    }
}

impl EventLoop {
    pub(super) fn begin_drain(&mut self, now: u64) {
        let plan = &self.checker.job.plan;
        let (mode, verify) = (plan.mode, plan.verify);
        let idle = mode == Mode::Idle;
        self.drain = Some(Drain {
            began: now,
            next_check: now + CHECK_INTERVAL,
            surplus_until: None,
            // A flood can have gigabytes in flight. Without `--verify` it does not wait for them.
            over: mode == Mode::Flood && !verify,
            sweep_next: if idle { 0 } else { usize::MAX },
            sweeping: 0,
        });
        if idle {
            return self.sweep(now);
        }
        if self.fanout.is_some() {
            return self.fanout_begin_drain();
        }
        for index in 0..self.conns.len() {
            let conn = &mut self.conns[index];
            if conn.state != State::Open || !conn.is_well_behaved() {
                continue;
            }
            // A line that is partly sent is completed.
            let pending = u32::from(conn.sent.offset > 0);
            if self.schedule.is_some() {
                self.checker.counters.unsent += u64::from(conn.pending.saturating_sub(pending));
            }
            conn.pending = pending;
            if pending > 0 {
                self.send_pending(index, now);
            } else {
                self.watch(index, Interest::Read);
            }
        }
    }

    pub(super) fn drain_step(&mut self, now: u64) {
        let plan = &self.checker.job.plan;
        let Some(drain) = &mut self.drain else { return };
        if now < drain.next_check || drain.over {
            return;
        }
        drain.next_check = now + CHECK_INTERVAL;
        let unsettled = |c: &Conn| c.state == State::Open && (c.outstanding() > 0 || c.pending > 0);
        let limit = u64::try_from(plan.drain.as_nanos()).unwrap_or(u64::MAX);
        let swept = drain.sweep_next >= self.conns.len();
        let mut ends = drain.began.saturating_add(limit);
        let settled = if self.fanout.is_some() {
            let settled = self.fanout_is_settled(now, ends);
            ends = self.fanout_gives_up_at(ends);
            settled
        } else {
            swept && !self.conns.iter().any(|c| c.is_well_behaved() && unsettled(c))
        };
        let (Some(drain), plan) = (&mut self.drain, &self.checker.job.plan) else { return };
        if settled {
            let listen = if plan.verify { SURPLUS_WAIT } else { 0 };
            drain.over = now >= *drain.surplus_until.get_or_insert(now + listen);
        } else if now >= ends {
            drain.over = true;
        } else {
            // A connection that ended without a reply made room for another.
            self.sweep(now);
        }
    }

    /// Lets further idle connections send their line, up to [`SWEEP_MAX`] at a time.
    fn sweep(&mut self, now: u64) {
        while let Some(drain) = &mut self.drain {
            let index = drain.sweep_next;
            if index >= self.conns.len() || drain.sweeping >= SWEEP_MAX {
                break;
            }
            drain.sweep_next += 1;
            let conn = &mut self.conns[index];
            if conn.state == State::Open && conn.is_well_behaved() {
                drain.sweeping += 1;
                conn.pending = 1;
                self.send_pending(index, now);
            }
        }
    }

    /// Handles the reply to an idle connection's line.
    pub(super) fn swept(&mut self, index: usize, now: u64) {
        if let Some(drain) = &mut self.drain
            && self.conns[index].outstanding() == 0
        {
            drain.sweeping = drain.sweeping.saturating_sub(1);
            self.sweep(now);
        }
    }

    /// Counts the lines that have no reply when the drain is over: with `--verify` as missing.
    ///
    /// Of the lines in flight only those are missing whose reply was waited for: not with a drain of 0,
    /// unless no reply came at all, and not on a connection that the server refused and closed.
    pub(super) fn count_unanswered(&mut self) {
        if self.fanout.is_some() {
            return self.fanout_count_missing();
        }
        let plan = &self.checker.job.plan;
        let counters = &mut self.checker.counters;
        let waited = !plan.drain.is_zero() || counters.checked == 0;
        for conn in self.conns.iter().filter(|c| c.is_well_behaved()) {
            let lost = conn.anomalies.as_ref().map_or(0, |t| t.lost());
            let refused = conn.state == State::Closed && conn.is_refused();
            if !plan.verify {
                counters.unanswered += lost + conn.outstanding();
            } else if waited && !refused {
                counters.missing += lost + conn.outstanding();
            } else {
                counters.missing += lost;
                counters.unanswered += conn.outstanding();
            }
        }
    }
}
