//! What all lanes together brought: totals by phase, and a figure for every interval.

use std::collections::BTreeMap;

use super::event::{Event, Finished, Phase, Spread, Tick};
use crate::clock::SECOND;
use crate::counters::BadClientCounters;
use crate::counters::Counters;
use crate::event_loop::Timing;
use crate::histogram::Hist;
use crate::plan::ClientBehavior;

/// Intervals kept open for lanes that report late.
const OPEN_INTERVALS: u64 = 3;

/// Everything a run brought, added up.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) timing: Timing,
    /// When the ramp was over; the moment of the stop when it never was.
    pub(crate) steady_at: u64,
    pub(crate) stop_at: u64,
    pub(crate) last_reply: u64,
    pub(crate) phases: [Totals; 3],
    pub(crate) timeline: BTreeMap<u64, Interval>,
    pub(crate) connect: Hist,
    pub(crate) spread: Spread,
    pub(crate) lag: Hist,
    pub(crate) cpu: u64,
    /// How busy each lane was in the steady phase.
    pub(crate) busy: Vec<Busy>,
    pub(crate) examples: Vec<String>,
    pub(crate) bad_clients: Vec<(ClientBehavior, BadClientCounters)>,
    pub(crate) failures: Vec<String>,
    open: BTreeMap<u32, u32>,
}

/// A phase's sums.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) counters: Counters,
    pub(crate) service: Hist,
    pub(crate) response: Hist,
}

/// An interval of the timeline, over all lanes.
#[derive(Debug, Default)]
pub(crate) struct Interval {
    pub(crate) counters: Counters,
    pub(crate) open: BTreeMap<u32, u32>,
    /// Latency as the mode defines it: from when a line was due if there is a schedule.
    pub(crate) latency: Latency,
}

/// An interval's histogram: open to additions, then packed to a hundredth of the size.
#[derive(Debug)]
pub(crate) enum Latency {
    Open(Box<Hist>),
    Packed { text: String, count: u64, p50: u64, p99: u64, max: u64 },
}

/// A lane's own use of the steady phase, in shares of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Busy {
    /// Not asleep in epoll.
    pub(crate) awake: f64,
    /// On a CPU.
    pub(crate) cpu: f64,
    /// Ready to run, but waiting for a CPU.
    pub(crate) queued: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self::Open(Box::default())
    }
}

impl Latency {
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

impl Outcome {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            steady_at: u64::MAX,
            stop_at: u64::MAX,
            last_reply: 0,
            phases: Default::default(),
            timeline: BTreeMap::new(),
            connect: Hist::default(),
            spread: Spread::default(),
            lag: Hist::default(),
            cpu: 0,
            busy: Vec::new(),
            examples: Vec::new(),
            bad_clients: Vec::new(),
            failures: Vec::new(),
            open: BTreeMap::new(),
        }
    }

    /// Adds what a lane tells.
    pub(super) fn take(&mut self, event: Event) {
        match event {
            Event::Tick(tick) => self.tick(&tick),
            Event::Finished(finished) => self.finished(*finished),
            Event::Failed(why) => self.failures.push(why),
        }
    }

    /// Connections open now, as last reported.
    pub(super) fn open(&self) -> u64 {
        self.open.values().map(|n| u64::from(*n)).sum()
    }

    /// The counters of the whole run so far.
    pub(crate) fn total(&self) -> Counters {
        let mut total = Counters::default();
        self.phases.iter().for_each(|phase| total.add(&phase.counters));
        total
    }

    /// Packs every interval; nothing is added afterwards.
    pub(super) fn close(&mut self) {
        self.timeline.values_mut().for_each(|interval| interval.latency.pack());
    }

    fn tick(&mut self, tick: &Tick) {
        let phase = &mut self.phases[tick.phase as usize];
        phase.counters.add(&tick.counters);
        phase.service.add(&tick.service);
        phase.response.add(&tick.response);
        self.open.insert(tick.lane, tick.open);

        let index = tick.from.saturating_sub(self.timing.start) / self.timing.interval;
        let interval = self.timeline.entry(index).or_default();
        interval.counters.add(&tick.counters);
        interval.open.insert(tick.lane, tick.open);
        if let Latency::Open(hist) = &mut interval.latency {
            let scheduled = tick.response.count() > 0;
            hist.add(if scheduled { &tick.response } else { &tick.service });
        }
        if let Some(past) = index.checked_sub(OPEN_INTERVALS)
            && let Some(interval) = self.timeline.get_mut(&past)
        {
            interval.latency.pack();
        }
    }

    fn finished(&mut self, lane: Finished) {
        self.connect.add(&lane.connect);
        self.spread.add(&lane.spread);
        self.lag.add(&lane.lag);
        self.cpu += lane.cpu_total;
        self.last_reply = self.last_reply.max(lane.last_reply);
        self.examples.extend(lane.examples);
        // Shares of a moment say nothing.
        if lane.steady >= SECOND / 10 {
            let share = |span: u64| span as f64 / lane.steady as f64;
            self.busy.push(Busy {
                awake: 1.0 - share(lane.asleep),
                cpu: share(lane.cpu),
                queued: share(lane.queued),
            });
        }
        for (behavior, counters) in lane.bad_clients {
            match self.bad_clients.iter_mut().find(|(known, _)| *known == behavior) {
                Some((_, sum)) => sum.add(&counters),
                None => self.bad_clients.push((behavior, counters)),
            }
        }
    }

    /// What a phase brought.
    pub(crate) fn phase(&self, phase: Phase) -> &Totals {
        &self.phases[phase as usize]
    }
}
