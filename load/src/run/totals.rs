//! The sums of all event loops: by phase, and by interval.

use std::collections::BTreeMap;

use super::event::{Event, Finished, IntervalSample, Phase, SpreadSums};
use crate::clock::SECOND;
use crate::counters::{BadClientCounters, Counters};
use crate::event_loop::Timing;
use crate::histogram::Hist;
use crate::plan::ClientBehavior;
use crate::tls::TlsTotals;

/// Intervals whose histogram stays open for loops that report late.
const OPEN_INTERVALS: u64 = 3;

/// Everything that a run counted and measured, over all event loops.
#[derive(Debug)]
pub(crate) struct RunTotals {
    pub(crate) timing: Timing,
    /// When the ramp ended; the end of the load if it did not.
    pub(crate) steady_at: u64,
    pub(crate) stop_at: u64,
    pub(crate) last_reply: u64,
    pub(crate) phases: [PhaseTotals; 3],
    pub(crate) timeline: BTreeMap<u64, IntervalTotals>,
    pub(crate) connect: Hist,
    pub(crate) errors: Hist,
    pub(crate) spread: SpreadSums,
    pub(crate) lag: Hist,
    pub(crate) cpu: u64,
    /// How each event loop spent the steady phase.
    pub(crate) usage: Vec<LoopUsage>,
    pub(crate) examples: Vec<String>,
    pub(crate) bad_clients: Vec<(ClientBehavior, BadClientCounters)>,
    pub(crate) tls: TlsTotals,
    pub(crate) failures: Vec<String>,
    open: BTreeMap<u32, u32>,
}

/// The sums of a phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct PhaseTotals {
    pub(crate) counters: Counters,
    pub(crate) service: Hist,
    pub(crate) response: Hist,
}

/// The sums of an interval of the timeline.
#[derive(Debug, Default)]
pub(crate) struct IntervalTotals {
    pub(crate) counters: Counters,
    pub(crate) open: BTreeMap<u32, u32>,
    /// Latency from when a line was due if there is a schedule, else from its send.
    pub(crate) latency: IntervalLatency,
}

/// An interval's histogram: open to additions, then packed to about a hundredth of the size.
#[derive(Debug)]
pub(crate) enum IntervalLatency {
    Open(Box<Hist>),
    Packed { text: String, count: u64, p50: u64, p99: u64, max: u64 },
}

/// How an event loop spent the steady phase, in fractions of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoopUsage {
    /// Not asleep in epoll.
    pub(crate) awake: f64,
    /// On a CPU.
    pub(crate) cpu: f64,
    /// Ready to run, but waiting for a CPU.
    pub(crate) queued: f64,
}

impl Default for IntervalLatency {
    fn default() -> Self {
        Self::Open(Box::default())
    }
}

impl IntervalLatency {
    fn pack(&mut self) {
        if let Self::Open(hist) = self {
            *self = Self::Packed {
                text: hist.to_text().unwrap_or_default(),
                count: hist.count(),
                p50: hist.at(0.5),
                p99: hist.at(0.99),
                max: hist.max(),
            };
        }
    }
}

impl RunTotals {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            steady_at: u64::MAX,
            stop_at: u64::MAX,
            last_reply: 0,
            phases: Default::default(),
            timeline: BTreeMap::new(),
            connect: Hist::default(),
            errors: Hist::default(),
            spread: SpreadSums::default(),
            lag: Hist::default(),
            cpu: 0,
            usage: Vec::new(),
            examples: Vec::new(),
            bad_clients: Vec::new(),
            tls: TlsTotals::default(),
            failures: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// Adds an event.
    pub(super) fn add(&mut self, event: Event) {
        match event {
            Event::Interval(sample) => self.add_interval(&sample),
            Event::Finished(finished) => self.add_finished(*finished),
            // The leader tells the event loops; the counters have the messages.
            Event::Published(..) => {}
            Event::Failed(why) => self.failures.push(why),
        }
    }

    /// Open connections, as last reported.
    pub(super) fn open(&self) -> u64 {
        self.open.values().map(|n| u64::from(*n)).sum()
    }

    /// The counters of the whole run so far.
    pub(crate) fn counters(&self) -> Counters {
        let mut total = Counters::default();
        self.phases.iter().for_each(|phase| total.add(&phase.counters));
        total
    }

    /// Packs every interval. Histograms added afterwards are lost.
    pub(super) fn close(&mut self) {
        self.timeline.values_mut().for_each(|interval| interval.latency.pack());
    }

    fn add_interval(&mut self, sample: &IntervalSample) {
        let phase = &mut self.phases[sample.phase as usize];
        phase.counters.add(&sample.counters);
        phase.service.add(&sample.service);
        phase.response.add(&sample.response);
        self.open.insert(sample.loop_index, sample.open);

        let index = sample.from.saturating_sub(self.timing.start) / self.timing.interval;
        let interval = self.timeline.entry(index).or_default();
        interval.counters.add(&sample.counters);
        interval.open.insert(sample.loop_index, sample.open);
        if let IntervalLatency::Open(hist) = &mut interval.latency {
            let scheduled = sample.response.count() > 0;
            hist.add(if scheduled { &sample.response } else { &sample.service });
        }
        if let Some(past) = index.checked_sub(OPEN_INTERVALS)
            && let Some(interval) = self.timeline.get_mut(&past)
        {
            interval.latency.pack();
        }
    }

    fn add_finished(&mut self, finished: Finished) {
        self.connect.add(&finished.connect);
        self.errors.add(&finished.errors);
        self.spread.add(&finished.spread);
        self.lag.add(&finished.lag);
        self.cpu += finished.cpu_total;
        self.last_reply = self.last_reply.max(finished.last_reply);
        self.examples.extend(finished.examples);
        finished.tls.iter().for_each(|tls| self.tls.add(tls));
        // Fractions of a shorter time mean nothing.
        if finished.steady >= SECOND / 10 {
            let share = |span: u64| span as f64 / finished.steady as f64;
            self.usage.push(LoopUsage {
                awake: 1.0 - share(finished.asleep),
                cpu: share(finished.cpu),
                queued: share(finished.queued),
            });
        }
        for (behavior, counters) in finished.bad_clients {
            match self.bad_clients.iter_mut().find(|(known, _)| *known == behavior) {
                Some((_, sum)) => sum.add(&counters),
                None => self.bad_clients.push((behavior, counters)),
            }
        }
    }

    /// The sums of one phase.
    pub(crate) fn phase(&self, phase: Phase) -> &PhaseTotals {
        &self.phases[phase as usize]
    }
}
