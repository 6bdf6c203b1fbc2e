//! Merges the reports of several hosts. Counts add up and histograms merge exactly; of durations the
//! longest is taken, because the hosts ran at the same time.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    BadClientReport, ErrorCounts, Latency, Period, Rates, Report, Spread, TimelineInterval, Traffic,
};
use crate::error::LoadError;
use crate::histogram::Hist;

impl Report {
    /// Merges the reports of runs made at the same time.
    ///
    /// # Errors
    /// When there is no report, or a histogram cannot be decoded.
    pub fn merge(reports: &[Self]) -> Result<Self, LoadError> {
        let Some((first, rest)) = reports.split_first() else {
            return Err(LoadError::usage("there is no report to merge: expected at least one"));
        };
        let mut sum = first.clone();
        let targets: BTreeSet<&str> = reports.iter().map(|r| r.target.as_str()).collect();
        sum.target = targets.into_iter().collect::<Vec<_>>().join(", ");
        for next in rest {
            sum.absorb(next);
        }
        sum.timeline = timeline(reports)?;
        sum.derive();
        Ok(sum)
    }

    /// Adds what can be added; `derive` computes the rest.
    fn absorb(&mut self, next: &Self) {
        if self.mode != next.mode {
            "mixed".clone_into(&mut self.mode);
        }
        self.message_bytes = self.message_bytes.max(next.message_bytes);
        self.started_unix = self.started_unix.min(next.started_unix);
        let (mine, theirs) = (&mut self.connections, &next.connections);
        mine.requested += theirs.requested;
        mine.established += theirs.established;
        mine.failed += theirs.failed;
        mine.closed_early += theirs.closed_early;
        self.ramp_seconds = self.ramp_seconds.max(next.ramp_seconds);
        self.seconds = self.seconds.max(next.seconds);
        self.lines.add(next.lines);
        self.bytes.add(next.bytes);
        self.calls.add(next.calls);
        self.service_us = self.service_us.or(next.service_us);
        self.response_us = self.response_us.or(next.response_us);
        self.fanout = match (self.fanout.take(), &next.fanout) {
            (Some(mut mine), Some(theirs)) => {
                mine.add(theirs);
                Some(mine)
            }
            (mine, theirs) => mine.or_else(|| theirs.clone()),
        };
        self.tls = match (self.tls.take(), &next.tls) {
            (Some(mut mine), Some(theirs)) => {
                mine.add(theirs);
                Some(mine)
            }
            (mine, theirs) => mine.or_else(|| theirs.clone()),
        };
        self.verify.add(&next.verify);
        self.errors.add(&next.errors);
        add_kinds(&mut self.connect_errors, &next.connect_errors);
        add_kinds(&mut self.error_lines, &next.error_lines);
        self.heartbeats += next.heartbeats;
        self.after_ramp.seconds = self.after_ramp.seconds.max(next.after_ramp.seconds);
        self.after_ramp.lines.add(next.after_ramp.lines);
        self.after_ramp.bytes.add(next.after_ramp.bytes);
        self.after_ramp.calls.add(next.after_ramp.calls);
        self.spread.sum += next.spread.sum;
        self.spread.squares += next.spread.squares;
        self.absorb_generator(next);
        for bad in &next.bad_clients {
            self.absorb_bad_client(bad);
        }
        self.interrupted |= next.interrupted;
        self.notes.extend(next.notes.iter().cloned());
        let (mine, theirs) = (&mut self.histograms, &next.histograms);
        mine.latency.add(&theirs.latency);
        mine.after_ramp.add(&theirs.after_ramp);
        mine.service.add(&theirs.service);
        mine.errors.add(&theirs.errors);
        mine.connect.add(&theirs.connect);
        mine.handshake.add(&theirs.handshake);
        mine.lines_per_connection.add(&theirs.lines_per_connection);
    }

    fn absorb_generator(&mut self, next: &Self) {
        let busy = |r: &Self| r.generator.busiest.get("awake").copied().unwrap_or(0.0);
        if busy(next) > busy(self) {
            self.generator.busiest.clone_from(&next.generator.busiest);
        }
        let (mine, theirs) = (&mut self.generator, &next.generator);
        mine.processes += theirs.processes;
        mine.threads += theirs.threads;
        mine.cpu_seconds += theirs.cpu_seconds;
        mine.saturated |= theirs.saturated;
        // Reports do not contain this histogram, so the worse of the two distributions is kept.
        mine.lag_us = match (mine.lag_us, theirs.lag_us) {
            (Some(a), Some(b)) => Some(if a.max >= b.max { a } else { b }),
            (a, b) => a.or(b),
        };
    }

    fn absorb_bad_client(&mut self, next: &BadClientReport) {
        match self.bad_clients.iter_mut().find(|p| p.behavior == next.behavior) {
            Some(mine) => mine.counters.add(&next.counters),
            None => self.bad_clients.push(next.clone()),
        }
    }

    /// Computes the figures that do not add up from those that do.
    fn derive(&mut self) {
        let made = self.connections.established;
        self.rates = Rates::from_sums(self.lines, self.bytes, self.seconds, made);
        let histograms = &self.histograms;
        self.latency_us = Latency::of(&histograms.latency);
        self.error_latency_us = Latency::of_some(&histograms.errors);
        self.connect_us = Latency::of(&histograms.connect);
        if let Some(tls) = &mut self.tls {
            tls.handshake_us = Latency::of(&histograms.handshake);
        }
        self.service_us = self.service_us.map(|_| Latency::of(&histograms.service));
        self.response_us = self.response_us.map(|_| self.latency_us);
        let Period { seconds, lines, bytes, .. } = self.after_ramp;
        self.after_ramp.rates = Rates::from_sums(lines, bytes, seconds, made);
        self.after_ramp.latency_us = Latency::of(&histograms.after_ramp);
        let Spread { sum, squares, .. } = self.spread;
        self.spread = Spread::of(&histograms.lines_per_connection, sum, squares);
    }
}

impl Traffic {
    fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
    }
}

impl ErrorCounts {
    fn add(&mut self, other: &Self) {
        self.connect += other.connect;
        self.reset += other.reset;
        self.timeout += other.timeout;
        self.closed += other.closed;
        self.unsent += other.unsent;
    }
}

fn add_kinds(mine: &mut BTreeMap<String, u64>, theirs: &BTreeMap<String, u64>) {
    for (kind, count) in theirs {
        *mine.entry(kind.clone()).or_default() += count;
    }
}

/// Adds up timelines, each from its own start, in intervals as long as the longest of all.
fn timeline(reports: &[Report]) -> Result<Vec<TimelineInterval>, LoadError> {
    let every = reports.iter().flat_map(|r| &r.timeline).map(|m| m.seconds).fold(0.0, f64::max);
    let mut merged: BTreeMap<u64, (TimelineInterval, Hist)> = BTreeMap::new();
    for report in reports {
        let mut open: BTreeMap<u64, u64> = BTreeMap::new();
        for interval in &report.timeline {
            // By the middle of the interval, because its ends are not exact in binary.
            let number = ((interval.at + interval.seconds / 2.0) / every) as u64;
            let (into, hist) = merged.entry(number).or_default();
            into.lines.add(interval.lines);
            into.bytes.add(interval.bytes);
            open.insert(number, interval.connections);
            if !interval.histogram.is_empty() {
                hist.add(&Hist::from_text(&interval.histogram).map_err(|e| {
                    LoadError::failed(format!(
                        "a histogram of the report on {} cannot be read: {e}",
                        report.target
                    ))
                })?);
            }
        }
        for (number, connections) in open {
            merged.entry(number).or_default().0.connections += connections;
        }
    }
    let finish = |(number, (mut interval, hist)): (u64, (TimelineInterval, Hist))| {
        interval.at = number as f64 * every;
        interval.seconds = every;
        interval.describe(&hist)?;
        Ok(interval)
    };
    merged.into_iter().map(finish).collect()
}

impl TimelineInterval {
    fn describe(&mut self, hist: &Hist) -> Result<(), LoadError> {
        if hist.count() > 0 {
            self.p50_us = hist.at(0.5) / 1000;
            self.p99_us = hist.at(0.99) / 1000;
            self.max_us = hist.max() / 1000;
            self.histogram = hist
                .to_text()
                .map_err(|e| LoadError::failed(format!("a histogram cannot be written: {e}")))?;
        }
        Ok(())
    }
}
