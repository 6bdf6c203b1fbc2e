//! The table as text: our figures after the ramp, those of the whole run, and the article's.

use std::fmt::Write as _;

use towline_units::human::{bytes, grouped, short};

use super::result::{Cells, Measured, Stretch, Table};
use crate::bench::format::{growth, significant};
use crate::bench::table::{Row, Width};

const MIB: f64 = 1024.0 * 1024.0;

/// How figures are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Units {
    /// In the article's units, whatever the magnitude.
    Article,
    /// With three digits, in the unit that needs the fewest characters.
    Short,
}

impl Table {
    /// The whole result as text that fits `width`.
    pub(super) fn text(&self, width: Width) -> String {
        let units = if width.is_wide() { Units::Article } else { Units::Short };
        let titles: Vec<_> = self.columns.iter().map(|column| column.title.clone()).collect();
        let h = &self.host;
        let headers = [
            format!(
                "{}, {} cores for this, {} GiB, Linux {}",
                h.cpu, h.cores, h.memory_gib, h.kernel
            ),
            format!(
                "{} descriptors a process, ports {}, somaxconn {}, tcp_mem {} pages, {}",
                h.descriptors, h.local_ports, h.somaxconn, h.tcp_mem_pages, h.congestion_control
            ),
            format!(
                "scale {}, {} s a column after its ramp; server and generator on the same host",
                self.scale, self.duration_seconds
            ),
        ];
        let mut out: String = headers.iter().map(|line| width.paragraph("", 2, line)).collect();
        let _ = writeln!(out, "\n{}", width.table(&titles, &self.rows(units)));
        for column in &self.columns {
            out += &width.paragraph(&format!("{}: ", column.title), 2, &column.diagnosis.sentence);
            let notes = column.measured.iter().flat_map(|m| &m.notes).cloned();
            for sentence in column.comparison().into_iter().chain(notes) {
                out += &width.paragraph("  ", 4, &sentence);
            }
            out.push('\n');
        }
        for (row, formula) in &self.formulas {
            out += &width.paragraph(&format!("{row}: "), 2, formula);
        }
        if self.interrupted {
            out += "interrupted: the columns after these were not run\n";
        }
        out
    }

    /// The rows below the titles of the columns, for the terminal and the page alike.
    pub(super) fn rows(&self, units: Units) -> Vec<Row> {
        let mut rows = Vec::new();
        let measured = |of: &dyn Fn(&Measured) -> String| -> Vec<String> {
            let cell = |c: &Cells| c.measured.as_ref().map_or_else(|| "not run".to_owned(), of);
            self.columns.iter().map(cell).collect()
        };
        let article =
            |of: &dyn Fn(&Cells) -> String| self.columns.iter().map(of).collect::<Vec<_>>();
        let mut row = |name, aside, cells| rows.push(Row { name, aside, cells });
        row("connections", false, measured(&connections));
        row("  article", true, article(&|c| grouped(c.article.connections.into())));
        let mut three =
            |name, ours: &dyn Fn(&Stretch) -> String, theirs: &dyn Fn(&Cells) -> String| {
                row(name, false, measured(&|m| ours(&m.after_ramp)));
                row("  whole run", true, measured(&|m| ours(&m.whole)));
                row("  article", true, article(theirs));
            };
        three("data sent", &|s| units.mib(s.sent_mib), &|c| units.mib(c.article.sent_mib));
        three("data received", &|s| units.mib(s.received_mib), &|c| {
            units.mib(c.article.received_mib)
        });
        three("per connection", &|s| units.kbps(s.per_connection_kbps), &|c| {
            units.kbps(c.article.per_connection_kbps)
        });
        three("bandwidth down/up", &|s| units.mbps(s.mbps_down, s.mbps_up), &|c| {
            units.mbps(c.article.mbps_down, c.article.mbps_up)
        });
        three("packets/s down/up", &|s| packets(s.packets_down, s.packets_up), &|c| {
            packets(c.article.packets_down, c.article.packets_up)
        });
        three("I/O wait", &wait, &|c| c.article.io.to_owned());
        row("lines/s", false, measured(&|m| short(m.after_ramp.lines_per_second)));
        row("CPU server/generator", false, measured(&cpu));
        row("  article", true, article(&|c| c.article.cpu.to_owned()));
        row(
            "lines/server-CPU-s",
            false,
            measured(&|m| short(m.after_ramp.server_lines_per_cpu_second)),
        );
        row("memory a connection", false, measured(&|m| growth(m.server.bytes_per_connection)));
        row(
            "processes",
            false,
            measured(&|m| format!("{} + {}", m.server.processes, m.generator.processes)),
        );
        row("kernel counters", false, measured(&kernel));
        rows
    }
}

impl Cells {
    /// Our bandwidth as a multiple of the article's, which the sums of sent and received data would
    /// not show: they grow with the duration.
    pub(super) fn comparison(&self) -> Option<String> {
        let (measured, article) = (self.measured.as_ref()?, &self.article);
        let times = |ours: f64, theirs: f64| significant(ours / theirs);
        let down = times(measured.after_ramp.mbps_down, article.mbps_down);
        let up = times(measured.after_ramp.mbps_up, article.mbps_up);
        let mut sentence = format!("towline is {down} × the article in bandwidth down, {up} × up");
        let connections = measured.connections.established;
        if connections != u64::from(article.connections) {
            let _ = write!(
                sentence,
                ", with {} connections instead of {}",
                grouped(connections),
                grouped(article.connections.into())
            );
        }
        Some(sentence)
    }
}

impl Units {
    fn mib(self, value: f64) -> String {
        match self {
            Self::Article => format!("{value:.1} MiB"),
            Self::Short => bytes((value * MIB) as u64),
        }
    }

    fn kbps(self, value: f64) -> String {
        match self {
            Self::Article => format!("{value:.1} kBps"),
            Self::Short if value < 1000.0 => format!("{} kBps", significant(value)),
            Self::Short => format!("{} MBps", significant(value / 1000.0)),
        }
    }

    fn mbps(self, down: f64, up: f64) -> String {
        match self {
            Self::Article => format!("{down:.2} / {up:.2} Mbps"),
            Self::Short => match (rate(down), rate(up)) {
                ((down, one), (up, other)) if one == other => format!("{down} / {up} {one}"),
                ((down, one), (up, other)) => format!("{down} {one} / {up} {other}"),
            },
        }
    }
}

/// Bits per second with three digits, and their unit.
fn rate(mbps: f64) -> (String, &'static str) {
    match mbps {
        v if v >= 1000.0 => (significant(v / 1000.0), "Gbps"),
        v => (significant(v), "Mbps"),
    }
}

fn connections(m: &Measured) -> String {
    let c = &m.connections;
    match c.failed + c.closed_early {
        0 => grouped(c.established),
        lost => format!("{} ({} lost)", grouped(c.established), grouped(lost)),
    }
}

fn packets(down: f64, up: f64) -> String {
    format!("{} / {}", short(down), short(up))
}

fn wait(s: &Stretch) -> String {
    format!("read {:.0} %, write {:.0} %", 100.0 * s.read_wait_share, 100.0 * s.write_wait_share)
}

fn cpu(m: &Measured) -> String {
    let generator = m.generator.cpu_seconds / (m.whole.seconds).max(f64::MIN_POSITIVE);
    format!("{:.2} / {generator:.2} cores", m.after_ramp.server_cores_used)
}

fn kernel(m: &Measured) -> String {
    if m.kernel.is_empty() {
        return "unchanged".to_owned();
    }
    let moved: u64 = m.kernel.values().sum();
    let names: Vec<&str> = m.kernel.keys().map(String::as_str).collect();
    if let [one] = names[..] {
        format!("{one} +{moved}")
    } else {
        format!("{} of them grew", names.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_the_articles_units_or_as_few_characters_as_they_need() {
        assert_eq!(Units::Article.mbps(13_903.19, 14_342.24), "13903.19 / 14342.24 Mbps");
        assert_eq!(Units::Short.mbps(13_903.19, 14_342.24), "13.9 / 14.3 Gbps");
        assert_eq!(Units::Short.mbps(29.4, 0.33), "29.4 / 0.33 Mbps");
        assert_eq!(Units::Short.mbps(7.63, 1490.0), "7.63 Mbps / 1.49 Gbps");
        assert_eq!(
            [Units::Article, Units::Short].map(|u| u.mib(8548.6)),
            ["8548.6 MiB", "8.35 GiB"]
        );
        assert_eq!([353.1, 26_600.0].map(|v| Units::Short.kbps(v)), ["353 kBps", "26.6 MBps"]);
        assert_eq!(packets(329e3, 29.0), "329.0k / 29");
    }
}
