//! Builds the report of a run from its totals.

use std::time::{SystemTime, UNIX_EPOCH};

use super::kinds::{connect_errors, error_lines};
use super::{
    BadClientReport, ConnectionCounts, ErrorCounts, FanoutReport, GeneratorStats, Histograms,
    Latency, Period, Rates, Report, Spread, TimelineInterval, TlsReport, Traffic, Verification,
};
use crate::clock::{self, SECOND, seconds};
use crate::counters::Counters;
use crate::histogram::Hist;
use crate::message::Message;
use crate::plan::{ClientBehavior, Mode, Plan};
use crate::run::event::Phase;
use crate::run::totals::{self, LoopUsage, RunTotals};

/// Fraction of the steady phase above which a loop counts as saturated: with less than a twentieth of
/// the time asleep, it always had work waiting.
const SATURATED_FRACTION: f64 = 0.95;

impl Report {
    pub(crate) fn new(
        plan: &Plan,
        totals: &RunTotals,
        processes: u32,
        threads: u32,
        interrupted: bool,
    ) -> Self {
        let total = totals.counters();
        let start = totals.timing.start;
        let end = totals.stop_at.max(totals.last_reply);
        let span = seconds(end.saturating_sub(start));
        let histograms = histograms(plan, totals);
        let paced = plan.is_paced();
        let steady = seconds(totals.stop_at.saturating_sub(totals.steady_at));
        let bad_established: u64 =
            totals.bad_clients.iter().map(|(_, c)| c.established.min(c.connections)).sum();
        let bad_failed: u64 = totals
            .bad_clients
            .iter()
            .map(|(_, c)| c.connections.saturating_sub(c.established))
            .sum();
        let established = total.established + bad_established;
        let latency_us = Latency::of(&histograms.latency);
        let mut report = Self {
            target: plan.target_names(),
            started_unix: unix_seconds(start),
            mode: plan.mode.name().to_owned(),
            message_bytes: message_bytes(plan),
            connections: ConnectionCounts {
                requested: plan.connections.into(),
                established,
                failed: total.connect_failed() + bad_failed,
                closed_early: total.closed_early(),
            },
            ramp_seconds: seconds(totals.steady_at.saturating_sub(start)),
            seconds: span,
            lines: lines(&total),
            bytes: bytes(&total),
            calls: calls(&total),
            rates: Rates::of(&total, span, total.established),
            latency_us,
            error_latency_us: Latency::of_some(&histograms.errors),
            service_us: paced.then(|| Latency::of(&histograms.service)),
            response_us: paced.then_some(latency_us),
            connect_us: Latency::of(&histograms.connect),
            fanout: FanoutReport::of(plan, &total),
            tls: TlsReport::of(plan, &totals.tls),
            verify: verify(&total, &totals.examples),
            errors: ErrorCounts {
                connect: total.connect_failed() + bad_failed,
                reset: total.reset,
                timeout: total.timeout,
                closed: total.closed,
                unsent: total.unsent,
            },
            connect_errors: connect_errors(&total),
            error_lines: error_lines(&total),
            heartbeats: total.heartbeats,
            after_ramp: period(
                &totals.phase(Phase::Steady).counters,
                steady,
                total.established,
                &histograms,
            ),
            spread: Spread::of(&totals.spread.lines, totals.spread.sum, totals.spread.squares),
            generator: GeneratorStats {
                in_flight_bytes: in_flight(plan),
                ..generator(totals, processes, threads, paced)
            },
            bad_clients: totals.bad_clients.iter().map(bad_client).collect(),
            interrupted,
            notes: totals.failures.clone(),
            timeline: totals
                .timeline
                .iter()
                .map(|(n, i)| timeline_interval(totals, *n, i))
                .collect(),
            histograms,
        };
        report.add_notes(plan);
        report
    }
}

fn message_bytes(plan: &Plan) -> u64 {
    if plan.is_fanout() {
        return plan.fanout.message_bytes.into();
    }
    Message::parse(&plan.message).map_or(0, |message| message.first_len() as u64)
}

/// Converts a time of the monotonic clock to seconds since 1970.
fn unix_seconds(at: u64) -> f64 {
    let ago = seconds(clock::now().saturating_sub(at));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.as_secs_f64() - ago
}

fn histograms(plan: &Plan, totals: &RunTotals) -> Histograms {
    let paced = plan.is_paced();
    let mut all = Histograms {
        connect: totals.connect.clone(),
        handshake: totals.tls.handshake.clone(),
        errors: totals.errors.clone(),
        lines_per_connection: totals.spread.lines.clone(),
        ..Histograms::default()
    };
    for phase in [Phase::Ramp, Phase::Steady, Phase::Drain] {
        let totals = totals.phase(phase);
        let latency = if paced { &totals.response } else { &totals.service };
        all.latency.add(latency);
        if phase == Phase::Steady {
            all.after_ramp.add(latency);
        }
        if paced {
            all.service.add(&totals.service);
        }
    }
    all
}

impl Latency {
    /// The distribution of a histogram of nanoseconds, in microseconds.
    pub(crate) fn of(hist: &Hist) -> Self {
        let micros = |nanos: u64| (nanos + 500) / 1000;
        Self {
            count: hist.count(),
            min: micros(hist.min()),
            p50: micros(hist.at(0.5)),
            p90: micros(hist.at(0.9)),
            p99: micros(hist.at(0.99)),
            p999: micros(hist.at(0.999)),
            max: micros(hist.max()),
            mean: hist.mean() / 1000.0,
        }
    }

    /// The distribution of a histogram that is not empty.
    pub(crate) fn of_some(hist: &Hist) -> Option<Self> {
        (hist.count() > 0).then(|| Self::of(hist))
    }
}

impl Rates {
    pub(crate) fn of(counters: &Counters, seconds: f64, connections: u64) -> Self {
        Self::from_sums(lines(counters), bytes(counters), seconds, connections)
    }

    pub(crate) fn from_sums(
        lines: Traffic,
        bytes: Traffic,
        seconds: f64,
        connections: u64,
    ) -> Self {
        if seconds <= 0.0 {
            return Self::default();
        }
        let both = (bytes.sent + bytes.received) as f64;
        Self {
            lines_per_second: lines.received as f64 / seconds,
            mbps_up: bytes.sent as f64 * 8.0 / seconds / 1e6,
            mbps_down: bytes.received as f64 * 8.0 / seconds / 1e6,
            per_connection_kbps: both / seconds / connections.max(1) as f64 / 1000.0,
        }
    }
}

impl Spread {
    pub(crate) fn of(lines: &Hist, sum: f64, squares: f64) -> Self {
        Self {
            min: lines.min(),
            p1: lines.at(0.01),
            p50: lines.at(0.5),
            p99: lines.at(0.99),
            max: lines.max(),
            jain: crate::run::event::jain(lines.count(), sum, squares),
            sum,
            squares,
        }
    }
}

fn lines(counters: &Counters) -> Traffic {
    Traffic { sent: counters.lines_sent, received: counters.lines_received }
}

fn bytes(counters: &Counters) -> Traffic {
    Traffic { sent: counters.bytes_sent, received: counters.bytes_received }
}

fn calls(counters: &Counters) -> Traffic {
    Traffic { sent: counters.writes, received: counters.reads }
}

fn verify(total: &Counters, examples: &[String]) -> Verification {
    Verification {
        checked: total.checked,
        mismatched: total.mismatched(),
        error_replies: total.error_replies,
        missing: total.missing,
        corrupted: total.corrupted,
        duplicated: total.duplicated,
        reordered: total.reordered,
        unanswered: total.unanswered,
        examples: examples.iter().take(8).cloned().collect(),
    }
}

fn period(counters: &Counters, seconds: f64, connections: u64, all: &Histograms) -> Period {
    Period {
        seconds,
        lines: lines(counters),
        bytes: bytes(counters),
        calls: calls(counters),
        rates: Rates::of(counters, seconds, connections),
        latency_us: Latency::of(&all.after_ramp),
    }
}

fn generator(totals: &RunTotals, processes: u32, threads: u32, paced: bool) -> GeneratorStats {
    let busy = |usage: &LoopUsage| usage.awake.max(usage.cpu + usage.queued);
    let busiest = totals.usage.iter().max_by(|a, b| busy(a).total_cmp(&busy(b)));
    let named = |usage: &LoopUsage| {
        [("awake", usage.awake), ("cpu", usage.cpu), ("waiting_for_cpu", usage.queued)]
            .map(|(name, fraction)| (name.to_owned(), (fraction * 1000.0).round() / 1000.0))
    };
    GeneratorStats {
        processes,
        threads,
        cpu_seconds: totals.cpu as f64 / SECOND as f64,
        saturated: busiest.is_some_and(|usage| busy(usage) >= SATURATED_FRACTION),
        in_flight_bytes: None,
        busiest: busiest.map(named).into_iter().flatten().collect(),
        lag_us: paced.then(|| Latency::of(&totals.lag)),
    }
}

fn in_flight(plan: &Plan) -> Option<u64> {
    (plan.mode == Mode::Flood).then(|| plan.in_flight.bytes(plan.connections))?
}

fn bad_client(
    (behavior, counters): &(ClientBehavior, crate::counters::BadClientCounters),
) -> BadClientReport {
    BadClientReport { behavior: behavior.name().to_owned(), counters: *counters }
}

fn timeline_interval(
    totals: &RunTotals,
    number: u64,
    interval: &totals::IntervalTotals,
) -> TimelineInterval {
    let length = seconds(totals.timing.interval);
    let mut result = TimelineInterval {
        at: number as f64 * length,
        seconds: length,
        connections: interval.open.values().map(|n| u64::from(*n)).sum(),
        lines: lines(&interval.counters),
        bytes: bytes(&interval.counters),
        ..TimelineInterval::default()
    };
    if let totals::IntervalLatency::Packed { text, count: 1.., p50, p99, max } = &interval.latency {
        result.p50_us = p50 / 1000;
        result.p99_us = p99 / 1000;
        result.max_us = max / 1000;
        result.histogram.clone_from(text);
    }
    result
}
