//! What the lane reports: an interval's figures, and at the end what is known only then.

use super::conn::State;
use super::{Lane, Timing};
use crate::clock::{self, seconds};
use crate::counters::Counters;
use crate::error::LoadError;
use crate::histogram::Hist;
use crate::run::event::{Event, Finished, Phase, Spread, Tick};

/// What the lane keeps of its own running.
#[derive(Debug)]
pub(crate) struct Ledger {
    start: u64,
    interval: u64,
    from: u64,
    next: u64,
    /// The counters as last reported.
    reported: Counters,
    ramped: bool,
    pub(super) connect: Hist,
    pub(super) lag: Hist,
    steady_from: u64,
    steady: u64,
    asleep: u64,
    cpu: u64,
    queued: u64,
}

impl Ledger {
    pub(super) fn new(Timing { start, interval }: Timing) -> Self {
        Self {
            start,
            interval,
            from: start,
            next: start + interval,
            reported: Counters::default(),
            ramped: false,
            connect: Hist::default(),
            lag: Hist::default(),
            steady_from: 0,
            steady: 0,
            asleep: 0,
            cpu: 0,
            queued: 0,
        }
    }

    /// The lane was asleep in epoll for so long.
    pub(super) fn slept(&mut self, phase: Phase, span: u64) {
        if phase == Phase::Steady {
            self.asleep += span;
        }
    }

    pub(super) fn steady_begins(&mut self, now: u64) {
        self.steady_from = now;
        self.cpu = clock::thread_cpu();
        self.queued = clock::thread_queued();
    }

    pub(super) fn steady_ends(&mut self, phase: Phase, now: u64) {
        if phase == Phase::Steady {
            self.steady = now - self.steady_from;
            self.cpu = clock::thread_cpu() - self.cpu;
            self.queued = clock::thread_queued().saturating_sub(self.queued);
        }
    }
}

impl Lane {
    /// Reports when an interval is over, and at once when the ramp is.
    pub(super) fn tick_due(&mut self, now: u64) -> Result<u64, LoadError> {
        let ramped = !self.ledger.ramped && self.ramped();
        if ramped || now >= self.ledger.next {
            self.ledger.ramped |= ramped;
            self.tick(now)?;
        }
        Ok(self.ledger.next)
    }

    pub(super) fn tick(&mut self, now: u64) -> Result<(), LoadError> {
        let tick = self.take_tick(now);
        self.outbox.send(Event::Tick(Box::new(tick))).map_err(|_closed| {
            LoadError::failed(format!(
                "the run was given up {:.1} s after its start",
                seconds(now - self.ledger.start)
            ))
        })
    }

    fn take_tick(&mut self, now: u64) -> Tick {
        let ledger = &mut self.ledger;
        let counters = self.desk.counters.since(&ledger.reported);
        ledger.reported = self.desk.counters;
        let from = ledger.from;
        ledger.from = now.max(from);
        let passed = now.saturating_sub(ledger.start) / ledger.interval;
        ledger.next = ledger.start + (passed + 1) * ledger.interval;
        Tick {
            lane: self.share.index,
            phase: self.phase,
            from,
            to: ledger.from,
            open: self.open,
            ramped: ledger.ramped,
            counters,
            service: std::mem::take(&mut self.desk.service),
            response: std::mem::take(&mut self.desk.response),
        }
    }

    /// Settles the accounts, ends every connection and says what is left to say.
    pub(super) fn finished(&mut self) -> Event {
        self.settle_accounts();
        let tick = self.take_tick(clock::now());
        // Nobody listens any more only when the run was given up.
        let _ = self.outbox.send(Event::Tick(Box::new(tick)));
        let mut spread = Spread::default();
        for conn in self.conns.iter().filter(|c| c.is_polite() && c.state != State::Waiting) {
            let lost = conn.trouble.as_ref().map_or(0, |t| t.lost());
            spread.record(conn.received.line.saturating_sub(lost));
        }
        self.conns.iter_mut().for_each(|conn| conn.fd = None);
        Event::Finished(Box::new(Finished {
            lane: self.share.index,
            connect: std::mem::take(&mut self.ledger.connect),
            spread,
            lag: std::mem::take(&mut self.ledger.lag),
            steady: self.ledger.steady,
            asleep: self.ledger.asleep,
            cpu: self.ledger.cpu,
            queued: self.ledger.queued,
            cpu_total: clock::thread_cpu(),
            last_reply: self.desk.last_reply,
            examples: std::mem::take(&mut self.desk.examples),
            bad_clients: self.bad_clients.take(),
        }))
    }
}
