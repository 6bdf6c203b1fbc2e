//! The report as text for a terminal of 80 columns.

use std::fmt;

use towline_units::human::{bytes, grouped, micros, nanos, short};

use super::entry::{LABEL, entry};
use super::{FanoutReport, Latency, Period, Report, TlsReport};

/// A report, displayed as text.
#[derive(Debug)]
pub struct TextReport<'a>(&'a Report);

impl Report {
    /// The report as text, in lines of at most 80 columns. It has the figures of the whole run and those
    /// after the ramp side by side; if no connection was established, it has only remarks.
    pub fn text(&self) -> TextReport<'_> {
        TextReport(self)
    }
}

impl fmt::Display for TextReport<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.connections.established > 0 {
            self.head(f)?;
            self.table(f)?;
            self.details(f)?;
        }
        self.remarks(f)
    }
}

impl TextReport<'_> {
    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        writeln!(f, "{}  {}, {}-byte message", r.target, r.mode, r.message_bytes)?;
        let text = format!(
            "{} of {} made in {:.1} s (p99 {}), {} failed, {} ended by the server",
            grouped(r.connections.established),
            grouped(r.connections.requested),
            r.ramp_seconds,
            shown(&r.connect_us, r.connect_us.p99),
            grouped(r.connections.failed),
            grouped(r.connections.closed_early)
        );
        entry(f, "connections", &text)
    }

    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        let whole = Period {
            seconds: r.seconds,
            lines: r.lines,
            bytes: r.bytes,
            calls: r.calls,
            rates: r.rates,
            latency_us: r.latency_us,
        };
        writeln!(f, "\n{:LABEL$}{:>22}{:>22}", "", "whole run", "after the ramp")?;
        let mut row = |name: &str, of: &dyn Fn(&Period) -> String| {
            writeln!(f, "{name:LABEL$}{:>22}{:>22}", of(&whole), of(&r.after_ramp))
        };
        row("time", &|p| format!("{:.1} s", p.seconds))?;
        let fanout = r.fanout.is_some();
        let of = |line: &'static str, message| if fanout { message } else { line };
        row(of("lines sent", "published"), &|p| grouped(p.lines.sent))?;
        row(of("received", "delivered"), &|p| grouped(p.lines.received))?;
        row(of("lines/s", "delivered/s"), &|p| short(p.rates.lines_per_second))?;
        row("bytes sent", &|p| bytes(p.bytes.sent))?;
        row("received", &|p| bytes(p.bytes.received))?;
        row("down / up", &|p| format!("{:.1} / {:.1} Mbps", p.rates.mbps_down, p.rates.mbps_up))?;
        row("per connection", &|p| format!("{:.2} kB/s", p.rates.per_connection_kbps))?;
        let latency = |p: &Period, of: fn(&Latency) -> u64| shown(&p.latency_us, of(&p.latency_us));
        let what = match (fanout, r.response_us.is_some()) {
            (true, _) => "delay",
            (_, true) => "response",
            _ => "latency",
        };
        row(&format!("{what} p50"), &|p| latency(p, |l| l.p50))?;
        row("        p90", &|p| latency(p, |l| l.p90))?;
        row("        p99", &|p| latency(p, |l| l.p99))?;
        row("        p99.9", &|p| latency(p, |l| l.p999))?;
        row("        max", &|p| latency(p, |l| l.max))?;
        writeln!(f)
    }

    fn details(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        if let Some(fanout) = &r.fanout {
            entry(f, "fan-out", &fanout_text(fanout))?;
        }
        if let Some(tls) = &r.tls {
            self.tls(f, tls)?;
        }
        if let Some(service) = &r.service_us {
            let above = match r.fanout.is_some() {
                true => {
                    "from send to subscriber; the delay above counts from when a message was due"
                }
                false => {
                    "from send to reply; the response time above counts from when a line was due"
                }
            };
            let text = format!("{} {above}", percentiles(service));
            entry(f, "service time", &text)?;
        }
        if let Some(lag) = &r.generator.lag_us {
            let text = format!(
                "{} after it was due: the generator's own delay, which is part of the {}",
                percentiles(lag),
                if r.fanout.is_some() { "delay above" } else { "response time" }
            );
            entry(f, "sent late", &text)?;
        }
        if r.mode == "flood" {
            let samples = grouped(r.latency_us.count);
            entry(f, "timed", &format!("one line in flight per connection: {samples} samples"))?;
        }
        let s = &r.spread;
        // The index of connections that all received nothing is 0/0.
        let jain = if s.squares > 0.0 { format!("{:.4}", s.jain) } else { "-".to_owned() };
        let text = format!(
            "{}: min {}, p1 {}, p50 {}, p99 {}, max {}; Jain {jain}",
            if r.fanout.is_some() { "messages per subscriber" } else { "lines per connection" },
            s.min,
            s.p1,
            s.p50,
            s.p99,
            s.max
        );
        entry(f, "spread", &text)?;
        self.replies(f)?;
        if r.heartbeats > 0 {
            entry(f, "heartbeats", &r.heartbeats.to_string())?;
        }
        for group in &r.bad_clients {
            let counts = &group.counters;
            let text = format!(
                "{} connections, made {} times, ended by the server {} times, {} sent, {} lines \
                 received",
                counts.connections,
                counts.established,
                counts.closed_by_server,
                bytes(counts.bytes_sent),
                counts.lines_received
            );
            entry(f, &group.behavior, &text)?;
        }
        let g = &r.generator;
        let text = format!(
            "{} process(es), {} thread(s), {} CPU{}",
            g.processes,
            g.threads,
            nanos((g.cpu_seconds * 1e9) as u64),
            if g.saturated { ", SATURATED" } else { "" }
        );
        entry(f, "generator", &text)
    }

    fn tls(&self, f: &mut fmt::Formatter<'_>, tls: &TlsReport) -> fmt::Result {
        let text = format!(
            "{}; {} full, {} resumed, {} failed",
            percentiles(&tls.handshake_us),
            grouped(tls.full),
            grouped(tls.resumed),
            grouped(tls.failed)
        );
        entry(f, "handshakes", &text)?;
        let suites = tls.suites.iter().map(|(suite, count)| format!("{suite} {count} times"));
        if tls.suites.len() > 1 {
            entry(f, "suites", &suites.collect::<Vec<_>>().join(", "))?;
        }
        if tls.ends.no_close_notify > 0 {
            let text = format!("{} without a close_notify", grouped(tls.ends.no_close_notify));
            entry(f, "server ended", &text)?;
        }
        Ok(())
    }

    /// Replies that were wrong, error lines, and lines without a reply.
    fn replies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        let v = &r.verify;
        if let Some(fanout) = &r.fanout {
            let text = format!(
                "{} messages: {} mismatched ({} foreign), {} missing, {} errors, {} unanswered",
                grouped(v.checked),
                grouped(v.mismatched),
                grouped(fanout.foreign),
                grouped(v.missing),
                grouped(v.error_replies),
                grouped(v.unanswered)
            );
            entry(f, "verified", &text)?;
        } else if v.checked + v.missing > 0 {
            let text = format!(
                "{} replies: {} mismatched, {} error lines, {} missing, {} unanswered",
                grouped(v.checked),
                grouped(v.mismatched),
                grouped(v.error_replies),
                grouped(v.missing),
                grouped(v.unanswered)
            );
            entry(f, "verified", &text)?;
        } else if v.unanswered > 0 {
            let why = if r.mode == "flood" {
                "had no reply when their connection or the load ended (a flood waits for replies only \
                 with --verify)"
            } else {
                "were never answered"
            };
            entry(f, "unanswered", &format!("{} lines {why}", grouped(v.unanswered)))?;
        }
        for (kind, count) in &r.error_lines {
            let text = format!("ERR {} {} times", kind.replace('_', " "), grouped(*count));
            entry(f, "server said", &text)?;
        }
        if let Some(latency) = &r.error_latency_us {
            let text = format!("{}: not part of the latency above", percentiles(latency));
            entry(f, "error lines", &text)?;
        }
        Ok(())
    }

    fn remarks(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        for example in &r.verify.examples {
            entry(f, "wrong", example)?;
        }
        // The command prints failures of connections on standard error.
        let failures = r.connection_failures();
        for note in r.notes.iter().filter(|note| !failures.contains(note)) {
            entry(f, "note", note)?;
        }
        Ok(())
    }
}

fn percentiles(of: &Latency) -> String {
    format!("p50 {}, p99 {}, max {}", shown(of, of.p50), shown(of, of.p99), shown(of, of.max))
}

fn fanout_text(fanout: &FanoutReport) -> String {
    let FanoutReport { protocol, publishers, subscribers, stuck, stuck_ended, .. } = fanout;
    let mut text =
        format!("{publishers} publisher(s) to {subscribers} subscriber(s), protocol {protocol}");
    if *stuck > 0 {
        text += &format!(", and {stuck} that read nothing: the server ended {stuck_ended} of them");
    }
    text
}

/// A value of a distribution; `-` if it has no samples.
fn shown(of: &Latency, micro_seconds: u64) -> String {
    if of.count == 0 { "-".to_owned() } else { micros(micro_seconds) }
}

#[cfg(test)]
mod tests {
    use super::super::entry::COLUMNS;
    use super::super::{ConnectionCounts, GeneratorStats};
    use super::*;

    #[test]
    fn a_report_of_large_figures_fits_80_columns() {
        let latency =
            Latency { p50: 999_999, p99: 99_999_999, max: u64::MAX, ..Latency::default() };
        let made = 1_000_000;
        let report = Report {
            target: "127.0.0.1:9000".into(),
            mode: "paced".into(),
            connections: ConnectionCounts {
                requested: made,
                established: made,
                ..Default::default()
            },
            service_us: Some(latency),
            response_us: Some(latency),
            latency_us: latency,
            generator: GeneratorStats { lag_us: Some(latency), ..Default::default() },
            notes: vec!["a remark that is longer than a line of a terminal ".repeat(3)],
            ..Report::default()
        };
        for line in report.text().to_string().lines() {
            assert!(line.chars().count() <= COLUMNS, "{line}");
        }
    }

    #[test]
    fn a_run_without_a_connection_has_no_table() {
        let report = Report {
            connections: ConnectionCounts { requested: 3, failed: 3, ..Default::default() },
            notes: vec!["the run was interrupted".into()],
            ..Report::default()
        };
        assert_eq!(report.text().to_string(), "note          the run was interrupted\n");
    }
}
