//! The report in words, for a terminal.

use std::fmt;

use towline_units::human::{bytes, grouped, micros, nanos, short};

use super::{Latency, Period, Report};

/// A report, displayed as a page of text.
#[derive(Debug)]
pub struct TextReport<'a>(&'a Report);

impl Report {
    /// The report as text: the figures of the whole run and those after the ramp, side by side.
    pub fn page(&self) -> TextReport<'_> {
        TextReport(self)
    }
}

impl fmt::Display for TextReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        writeln!(f, "{}  {}, {}-byte message", r.target, r.mode, r.message_bytes)?;
        writeln!(
            f,
            "connections   {} of {} made in {:.1} s (p99 {}), {} failed, {} ended by the server",
            grouped(r.connections.established),
            grouped(r.connections.requested),
            r.ramp_seconds,
            micros(r.connect_us.p99),
            grouped(r.connections.failed),
            grouped(r.connections.closed_early)
        )?;
        let whole = Period {
            seconds: r.seconds,
            lines: r.lines,
            bytes: r.bytes,
            calls: r.calls,
            rates: r.rates,
            latency_us: r.latency_us,
        };
        writeln!(f, "\n{:14}{:>22}{:>22}", "", "whole run", "after the ramp")?;
        let mut row = |name: &str, of: &dyn Fn(&Period) -> String| {
            writeln!(f, "{name:14}{:>22}{:>22}", of(&whole), of(&r.after_ramp))
        };
        row("time", &|w| format!("{:.1} s", w.seconds))?;
        row("lines sent", &|w| grouped(w.lines.sent))?;
        row("received", &|w| grouped(w.lines.received))?;
        row("lines/s", &|w| short(w.rates.lines_per_second))?;
        row("bytes sent", &|w| bytes(w.bytes.sent))?;
        row("received", &|w| bytes(w.bytes.received))?;
        row("down / up", &|w| format!("{:.1} / {:.1} Mbps", w.rates.mbps_down, w.rates.mbps_up))?;
        row("a connection", &|w| format!("{:.2} kB/s", w.rates.per_connection_kbps))?;
        let p = |w: &Period, of: fn(&Latency) -> u64| micros(of(&w.latency_us));
        let what = if r.response_us.is_some() { "response" } else { "latency" };
        row(&format!("{what} p50"), &|w| p(w, |l| l.p50))?;
        row("        p90", &|w| p(w, |l| l.p90))?;
        row("        p99", &|w| p(w, |l| l.p99))?;
        row("        p99.9", &|w| p(w, |l| l.p999))?;
        row("        max", &|w| p(w, |l| l.max))?;
        self.rest(f)
    }
}

impl TextReport<'_> {
    fn rest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        writeln!(f)?;
        if let Some(service) = &r.service_us {
            writeln!(
                f,
                "service time  p50 {}, p99 {}, max {} (from the send; response counts from when it was due)",
                micros(service.p50),
                micros(service.p99),
                micros(service.max)
            )?;
        }
        if r.mode == "flood" {
            writeln!(
                f,
                "timed         one line in flight per connection: {} samples",
                grouped(r.latency_us.count)
            )?;
        }
        let s = &r.spread;
        writeln!(
            f,
            "spread        lines per connection: min {}, p1 {}, p50 {}, p99 {}, max {}; Jain {:.4}",
            s.min, s.p1, s.p50, s.p99, s.max, s.jain
        )?;
        if r.verify.checked > 0 {
            writeln!(
                f,
                "verified      {} replies: {} mismatched, {} missing, {} unanswered",
                grouped(r.verify.checked),
                r.verify.mismatched,
                r.verify.missing,
                r.verify.unanswered
            )?;
        }
        for (kind, count) in &r.error_lines {
            writeln!(f, "server said   ERR {} {count} times", kind.replace('_', " "))?;
        }
        if r.heartbeats > 0 {
            writeln!(f, "heartbeats    {}", r.heartbeats)?;
        }
        for bad in &r.bad_clients {
            let c = &bad.counters;
            writeln!(
                f,
                "{:13} {} connections, made {} times, ended by the server {} times, {} sent, {} lines back",
                bad.behavior,
                c.connections,
                c.established,
                c.closed_by_server,
                bytes(c.bytes_sent),
                c.lines_received
            )?;
        }
        let g = &r.generator;
        writeln!(
            f,
            "generator     {} process(es), {} thread(s), {} CPU{}",
            g.processes,
            g.threads,
            nanos((g.cpu_seconds * 1e9) as u64),
            if g.saturated { ", SATURATED" } else { "" }
        )?;
        for example in &r.verify.examples {
            writeln!(f, "wrong         {example}")?;
        }
        // What is against the run is told beside the page.
        let faults = r.connection_faults();
        for note in r.notes.iter().filter(|note| !faults.contains(note)) {
            writeln!(f, "note          {note}")?;
        }
        Ok(())
    }
}
