//! The end: no new lines, but the replies of those sent are waited for; idle connections are tried.

use super::Lane;
use super::conn::{Conn, Interest, State};
use crate::clock::{MILLI, SECOND};
use crate::plan::Mode;

/// When nothing at all has come for so long, what is missing is missing.
const SILENCE: u64 = 2 * SECOND;
/// How long surplus replies are listened for once every line has its reply (`--verify`).
const LISTEN: u64 = 200 * MILLI;
/// How often the lane looks whether it is over.
const LOOK: u64 = 10 * MILLI;
/// Idle connections tried at once, per lane.
const SWEEP: u32 = 256;

/// The state of the end.
#[derive(Debug)]
pub(crate) struct Drain {
    began: u64,
    pub(super) look_at: u64,
    listen_until: Option<u64>,
    pub(super) over: bool,
    /// It ended because the server fell silent, so lines without a reply are lost.
    silent: bool,
    /// The next idle connection to be tried; past the end when there are none.
    sweep_next: usize,
    sweeping: u32,
}

impl Drain {
    /// A connection ended with so many lines unanswered.
    pub(super) fn left(&mut self, outstanding: u64) {
        self.sweeping = self.sweeping.saturating_sub(u32::from(outstanding > 0));
    }
}

impl Lane {
    pub(super) fn begin_drain(&mut self, now: u64) {
        let plan = &self.desk.job.plan;
        let (mode, verify) = (plan.mode, plan.verify);
        let idle = mode == Mode::Idle;
        self.drain = Some(Drain {
            began: now,
            look_at: now + LOOK,
            listen_until: None,
            // What a flood has in the pipes can be gigabytes: without a question, there is no answer.
            over: mode == Mode::Flood && !verify,
            silent: false,
            sweep_next: if idle { 0 } else { usize::MAX },
            sweeping: 0,
        });
        if idle {
            return self.sweep(now);
        }
        for index in 0..self.conns.len() {
            let conn = &mut self.conns[index];
            if conn.state != State::Open || !conn.is_polite() {
                continue;
            }
            // A line begun is a line to be finished.
            let owed = u32::from(conn.sent.offset > 0);
            if self.pace.is_some() {
                self.desk.counters.unsent += u64::from(conn.owed.saturating_sub(owed));
            }
            conn.owed = owed;
            if owed > 0 {
                self.push_out(index, now);
            } else {
                self.watch(index, Interest::Read);
            }
        }
    }

    pub(super) fn drain_step(&mut self, now: u64) {
        let last_reply = self.desk.last_reply;
        let plan = &self.desk.job.plan;
        let Some(drain) = &mut self.drain else { return };
        if now < drain.look_at || drain.over {
            return;
        }
        drain.look_at = now + LOOK;
        let unsettled = |c: &Conn| c.state == State::Open && (c.outstanding() > 0 || c.owed > 0);
        let swept = drain.sweep_next >= self.conns.len();
        if swept && !self.conns.iter().any(|c| c.is_polite() && unsettled(c)) {
            let listen = if plan.verify { LISTEN } else { 0 };
            drain.over = now >= *drain.listen_until.get_or_insert(now + listen);
        } else if self.quiet && now.saturating_sub(last_reply.max(drain.began)) >= SILENCE {
            drain.silent = true;
            drain.over = true;
        } else {
            drain.over = now >= drain.began + plan.drain.as_nanos() as u64;
        }
    }

    /// Tries further idle connections, as long as few enough are being tried.
    fn sweep(&mut self, now: u64) {
        while let Some(drain) = &mut self.drain {
            let index = drain.sweep_next;
            if index >= self.conns.len() || drain.sweeping >= SWEEP {
                break;
            }
            drain.sweep_next += 1;
            let conn = &mut self.conns[index];
            if conn.state == State::Open && conn.is_polite() {
                drain.sweeping += 1;
                conn.owed = 1;
                self.push_out(index, now);
            }
        }
    }

    /// An idle connection was answered.
    pub(super) fn swept(&mut self, index: usize, now: u64) {
        if let Some(drain) = &mut self.drain
            && self.conns[index].outstanding() == 0
        {
            drain.sweeping = drain.sweeping.saturating_sub(1);
            self.sweep(now);
        }
    }

    /// Counts, at the very end, the lines that never had their reply.
    pub(super) fn settle_accounts(&mut self) {
        let plan = &self.desk.job.plan;
        let silent = self.drain.as_ref().is_some_and(|drain| drain.silent);
        let counters = &mut self.desk.counters;
        for conn in self.conns.iter().filter(|c| c.is_polite()) {
            if plan.verify {
                counters.missing += conn.trouble.as_ref().map_or(0, |t| t.lost());
            }
            if plan.mode == Mode::Flood && !plan.verify {
                continue;
            }
            if plan.verify && silent && conn.state == State::Open && !conn.is_refused() {
                counters.missing += conn.outstanding();
            } else {
                counters.unanswered += conn.outstanding();
            }
        }
    }
}
