//! The report as a self-contained HTML page: the text, and charts as inline SVG, light and dark.

use towline_units::human::{micros, short};

use super::svg::{Chart, marks};
use super::{Report, TimelineInterval};

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2733;--dim:#5b6b7b;--grid:#dde3ea;--paper:#fff;--bad:#b3261e;
--a:#0b67c2;--b:#c2570b;--c:#3c8a2e}
@media(prefers-color-scheme:dark){:root{--ink:#e3e9f0;--dim:#93a3b3;--grid:#2b3743;--paper:#12181f;
--bad:#ff8a80;--a:#6cb2f5;--b:#f5a96c;--c:#8fd67f}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}pre{overflow-x:auto;line-height:1.35}figure{margin:2rem 0}
figcaption{font-weight:600}.bad{color:var(--bad);font-weight:600}.legend{color:var(--dim);margin:.2rem 0}
svg{width:100%;height:auto}.grid{stroke:var(--grid)}text{fill:var(--dim);font-size:11px}
.x{text-anchor:middle}.y{text-anchor:end}polyline{fill:none;stroke-width:2}
.s0{stroke:var(--a)}.s1{stroke:var(--b)}.s2{stroke:var(--c)}
.k0::before,.k1::before,.k2::before{content:'\u{2014} ';font-weight:700}
.k0::before{color:var(--a)}.k1::before{color:var(--b)}.k2::before{color:var(--c)}";

impl Report {
    /// The report as an HTML page without external resources.
    pub fn html(&self) -> String {
        let title = format!("towline load: {} at {}", self.mode, escape(&self.target));
        let (_, against) = self.verdict(&[]);
        let against: String =
            against.iter().map(|s| format!("<p class=\"bad\">{}</p>", escape(s))).collect();
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
             <style>{STYLE}</style><h1>{title}</h1>{against}<pre>{}</pre>{}{}{}{}</html>\n",
            escape(&self.text().to_string()),
            self.throughput().draw(),
            self.latency_course().draw(),
            self.percentiles().draw(),
            self.per_connection().draw()
        )
    }

    fn over_time(&self, of: impl Fn(&TimelineInterval) -> f64) -> Vec<(f64, f64)> {
        self.timeline.iter().map(|i| (i.at + i.seconds / 2.0, of(i))).collect()
    }

    /// A rate over time. Intervals that reach beyond the end of the load are left out: divided by their
    /// whole length, their few lines would look like a collapse.
    fn rate_over_time(&self, of: impl Fn(&TimelineInterval) -> u64) -> Vec<(f64, f64)> {
        let end = self.ramp_seconds + self.after_ramp.seconds;
        let whole = self.timeline.iter().filter(|i| i.at + i.seconds <= end);
        whole.map(|i| (i.at + i.seconds / 2.0, of(i) as f64 / i.seconds)).collect()
    }

    fn time_marks(&self) -> Vec<(f64, String)> {
        let end = self.timeline.last().map_or(1.0, |i| i.at + i.seconds / 2.0);
        let first = self.timeline.first().map_or(0.0, |i| i.at + i.seconds / 2.0);
        marks(end, " s").into_iter().filter(|(at, _)| *at >= first).collect()
    }

    fn throughput(&self) -> Chart<'_> {
        Chart {
            title: "Throughput over time",
            across: "time since the first connect",
            marks: self.time_marks(),
            log: false,
            unit: |v| format!("{}/s", short(v)),
            series: vec![
                (
                    if self.fanout.is_some() { "messages delivered" } else { "lines received" },
                    self.rate_over_time(|i| i.lines.received),
                ),
                (
                    if self.fanout.is_some() { "messages published" } else { "lines sent" },
                    self.rate_over_time(|i| i.lines.sent),
                ),
            ],
        }
    }

    fn latency_course(&self) -> Chart<'_> {
        Chart {
            title: "Latency over time",
            across: "time since the first connect",
            marks: self.time_marks(),
            log: true,
            unit: |v| micros(v as u64),
            series: vec![
                ("p50", self.over_time(|i| i.p50_us as f64)),
                ("p99", self.over_time(|i| i.p99_us as f64)),
                ("max", self.over_time(|i| i.max_us as f64)),
            ],
        }
    }

    /// Latency by percentile. Each mark of the horizontal axis is ten times rarer than the one before.
    fn percentiles(&self) -> Chart<'_> {
        let hist = &self.histograms.latency;
        let nines = (hist.count().max(1) as f64).log10().min(6.0);
        let curve = |of: &crate::histogram::Hist| {
            let at = |x: f64| (x, of.at(1.0 - 10f64.powf(-x)) as f64 / 1000.0);
            let steps = (nines * 40.0) as u32;
            (0..=steps).map(|step| at(f64::from(step) / 40.0)).collect::<Vec<_>>()
        };
        let names = ["0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %", "99.9999 %"];
        let shown = |(n, name): (usize, &&str)| (n as f64, (*name).to_owned());
        let mut series = vec![("latency", curve(hist))];
        if self.service_us.is_some() {
            series = vec![
                ("response time", curve(hist)),
                ("service time", curve(&self.histograms.service)),
            ];
        }
        Chart {
            title: "Latency by percentile",
            across: "percentile",
            marks: names.iter().enumerate().map(shown).filter(|(x, _)| *x <= nines).collect(),
            log: true,
            unit: |v| micros(v as u64),
            series,
        }
    }

    fn per_connection(&self) -> Chart<'_> {
        let hist = &self.histograms.lines_per_connection;
        let at = |percent: u32| (f64::from(percent), hist.at(f64::from(percent) / 100.0) as f64);
        let curve = if hist.count() == 0 { Vec::new() } else { (0..=100).map(at).collect() };
        Chart {
            title: "Lines per connection, from the least served to the most served",
            across: "percentile of connections (a level line means perfect fairness)",
            marks: marks(100.0, " %"),
            log: false,
            unit: short,
            series: vec![("lines", curve)],
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
