//! The table for a terminal: ours after the ramp, ours over the whole run, and the article's.

use std::fmt;

use super::result::{Cells, Measured, Stretch, Table};

/// Wide enough for two bandwidths of tens of thousands of Mbps, and a gap.
const CELL: usize = 27;

/// One row: its name, and what each column has in it.
pub(super) struct Row {
    pub(super) name: &'static str,
    /// Set for the article's rows and those of the whole run, which stand below ours.
    pub(super) aside: bool,
    pub(super) cells: Vec<String>,
}

impl Table {
    /// The rows below the columns' names, for the terminal and the page alike.
    pub(super) fn rows(&self) -> Vec<Row> {
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
        three("data sent", &|s| mib(s.sent_mib), &|c| mib(c.article.sent_mib));
        three("data received", &|s| mib(s.received_mib), &|c| mib(c.article.received_mib));
        three("per connection", &|s| kbps(s.per_connection_kbps), &|c| {
            kbps(c.article.per_connection_kbps)
        });
        three("bandwidth down/up", &|s| mbps(s.mbps_down, s.mbps_up), &|c| {
            mbps(c.article.mbps_down, c.article.mbps_up)
        });
        three("packets/s down/up", &|s| pair(s.packets_down, s.packets_up), &|c| {
            pair(c.article.packets_down, c.article.packets_up)
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
        row(
            "memory a connection",
            false,
            measured(&|m| format!("{:.0} B", m.server.bytes_per_connection)),
        );
        row(
            "processes",
            false,
            measured(&|m| format!("{} + {}", m.server.processes, m.generator.processes)),
        );
        row("kernel counters", false, measured(&kernel));
        rows
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let h = &self.host;
        writeln!(
            f,
            "{}, {} cores for this, {} GiB, Linux {}",
            h.cpu, h.cores, h.memory_gib, h.kernel
        )?;
        writeln!(
            f,
            "{} descriptors a process, ports {}, somaxconn {}, tcp_mem {} pages, {}",
            h.descriptors, h.local_ports, h.somaxconn, h.tcp_mem_pages, h.congestion_control
        )?;
        writeln!(
            f,
            "scale {}, {} s a column after its ramp; server and generator on the same host\n",
            self.scale, self.duration_seconds
        )?;
        write!(f, "{:22}", "")?;
        for column in &self.columns {
            write!(f, "{:>CELL$}", column.name)?;
        }
        writeln!(f)?;
        for row in self.rows() {
            write!(f, "{:22}", row.name)?;
            for cell in row.cells {
                write!(f, "{cell:>CELL$}")?;
            }
            writeln!(f)?;
        }
        for column in &self.columns {
            writeln!(f, "\n{}: {}", column.name, column.verdict.sentence)?;
            for note in column.measured.iter().flat_map(|m| &m.notes) {
                writeln!(f, "  {note}")?;
            }
        }
        writeln!(f)?;
        for (row, formula) in &self.formulas {
            writeln!(f, "{row}: {formula}")?;
        }
        if self.interrupted {
            writeln!(f, "interrupted: the columns after these were not run")?;
        }
        Ok(())
    }
}

fn connections(m: &Measured) -> String {
    let c = &m.connections;
    match c.failed + c.closed_early {
        0 => grouped(c.established),
        lost => format!("{} ({} lost)", grouped(c.established), grouped(lost)),
    }
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
        return "quiet".to_owned();
    }
    let moved: u64 = m.kernel.values().sum();
    let names: Vec<&str> = m.kernel.keys().map(String::as_str).collect();
    if let [one] = names[..] { format!("{one} +{moved}") } else { format!("{} moved", names.len()) }
}

fn mib(value: f64) -> String {
    format!("{value:.1} MiB")
}

fn kbps(value: f64) -> String {
    format!("{value:.1} kBps")
}

fn mbps(down: f64, up: f64) -> String {
    format!("{down:.2} / {up:.2} Mbps")
}

fn pair(down: f64, up: f64) -> String {
    format!("{} / {}", short(down), short(up))
}

/// `1.23M`, `45.6K`, `789`.
fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}K", v / 1e3),
        v => format!("{v:.0}"),
    }
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let ends = digits.len() % 3;
    let (first, rest) = digits.split_at(ends);
    let mut parts: Vec<&str> = Vec::new();
    if !first.is_empty() {
        parts.push(first);
    }
    parts.extend((0..rest.len()).step_by(3).map(|at| &rest[at..at + 3]));
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_grouped() {
        assert_eq!(grouped(30_000), "30,000");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(pair(329e3, 29.0), "329K / 29");
    }
}
