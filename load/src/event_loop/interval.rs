//! Reports of an event loop: the counts of each interval, and at the end what is known only then.

use super::conn::State;
use super::{EventLoop, Timing};
use crate::clock::{self, seconds};
use crate::counters::Counters;
use crate::error::LoadError;
use crate::histogram::Hist;
use crate::run::event::{Event, Finished, IntervalSample, Phase, SpreadSums};

/// An event loop's reporting schedule, and measurements of the loop itself.
#[derive(Debug)]
pub(crate) struct LoopStats {
    start: u64,
    interval: u64,
    from: u64,
    next: u64,
    /// The counters at the last report.
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

impl LoopStats {
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

    /// Adds a wait in epoll of `span` nanoseconds.
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

impl EventLoop {
    /// Reports if an interval is over, or as soon as the ramp is; returns when the next interval ends.
    pub(super) fn interval_due(&mut self, now: u64) -> Result<u64, LoadError> {
        let ramped = !self.stats.ramped && self.ramped();
        if ramped || now >= self.stats.next {
            self.stats.ramped |= ramped;
            self.report_interval(now)?;
        }
        Ok(self.stats.next)
    }

    pub(super) fn report_interval(&mut self, now: u64) -> Result<(), LoadError> {
        let sample = self.take_interval(now);
        self.outbox.send(Event::Interval(Box::new(sample))).map_err(|_closed| {
            LoadError::failed(format!(
                "the run was abandoned {:.1} s after its start",
                seconds(now - self.stats.start)
            ))
        })
    }

    fn take_interval(&mut self, now: u64) -> IntervalSample {
        let stats = &mut self.stats;
        let counters = self.checker.counters.since(&stats.reported);
        stats.reported = self.checker.counters;
        let from = stats.from;
        stats.from = now.max(from);
        let passed = now.saturating_sub(stats.start) / stats.interval;
        stats.next = stats.start + (passed + 1) * stats.interval;
        IntervalSample {
            loop_index: self.share.index,
            phase: self.phase,
            from,
            to: stats.from,
            open: self.open,
            ramped: stats.ramped,
            counters,
            service: std::mem::take(&mut self.checker.service),
            response: std::mem::take(&mut self.checker.response),
        }
    }

    /// Counts unanswered lines, closes every connection, and returns the final report.
    pub(super) fn finished(&mut self) -> Event {
        self.count_unanswered();
        let sample = self.take_interval(clock::now());
        // The receiver is gone only when the run was abandoned.
        let _ = self.outbox.send(Event::Interval(Box::new(sample)));
        let mut spread = SpreadSums::default();
        if let Some(fanout) = &self.fanout {
            let delivered = (0..self.conns.len()).filter_map(|index| fanout.delivered(index));
            delivered.for_each(|messages| spread.record(messages));
        }
        for conn in self
            .conns
            .iter()
            .filter(|c| self.fanout.is_none() && c.is_well_behaved() && c.state != State::Waiting)
        {
            let lost = conn.anomalies.as_ref().map_or(0, |t| t.lost());
            spread.record(conn.received.line.saturating_sub(lost));
        }
        let transport = &mut self.checker.transport;
        self.conns.iter_mut().for_each(|conn| transport.close(conn, true));
        Event::Finished(Box::new(Finished {
            loop_index: self.share.index,
            connect: std::mem::take(&mut self.stats.connect),
            errors: std::mem::take(&mut self.checker.errors),
            spread,
            lag: std::mem::take(&mut self.stats.lag),
            steady: self.stats.steady,
            asleep: self.stats.asleep,
            cpu: self.stats.cpu,
            queued: self.stats.queued,
            cpu_total: clock::thread_cpu(),
            last_reply: self.checker.last_reply,
            examples: std::mem::take(&mut self.checker.examples),
            bad_clients: self.bad_clients.take(),
            tls: self.checker.transport.take_totals(),
        }))
    }
}
