//! The result as text.

use towline_units::human::{bytes, micros};

use super::result::{Capacity, Outcome};
use crate::bench::format::growth;
use crate::bench::table::Width;

/// Width of the labels, in characters.
const LABEL: usize = 12;
/// Points of the ramp's curve in a row.
const POINTS_IN_ROW: usize = 5;

impl Capacity {
    /// The whole result as text that fits `width`.
    pub(super) fn text(&self, width: Width) -> String {
        let outcome = match self.outcome {
            Outcome::Passed => "passed",
            Outcome::Failed => "FAILED",
            Outcome::NotReached => "NOT REACHED",
        };
        let (held, requested, seconds) = (self.held, self.requested, self.ran.held_seconds);
        let mut out = width.paragraph(
            "",
            2,
            &format!("{held} of {requested} connections held for {seconds:.0} s: {outcome}"),
        );
        for sentence in &self.against {
            out += &width.paragraph("  ", 4, sentence);
        }
        if let Some(wall) = &self.first_wall {
            out += &width.paragraph(
                "  ",
                4,
                &format!("first limit: {} ({})", wall.name, wall.evidence),
            );
        }
        for (label, figures) in self.figures() {
            out += &width.paragraph(&format!("{label:LABEL$}"), LABEL, &figures);
        }
        out
    }

    /// A label and its figures for every paragraph.
    fn figures(&self) -> Vec<(&'static str, String)> {
        let (ran, memory, latency) = (&self.ran, &self.ran.memory, &self.ran.latency_us);
        let mut all = vec![(
            "ramp",
            format!(
                "{:.1} s, {:.0} per second; connect p99 {}",
                ran.ramp.seconds,
                ran.ramp.per_second,
                micros(ran.ramp.connect_p99_us)
            ),
        )];
        let points: Vec<_> = ran
            .ramp
            .curve
            .iter()
            .map(|p| format!("{:.0} s {}", p.seconds, p.connections))
            .collect();
        all.extend(points.chunks(POINTS_IN_ROW).map(|row| ("", row.join(" · "))));
        all.extend([
            (
                "lines",
                format!(
                    "{} sent, {} answered and compared, {} lost, {} wrong",
                    ran.lines_sent, ran.lines_checked, ran.lines_lost, ran.lines_wrong
                ),
            ),
            (
                "latency",
                format!(
                    "p50 {}, p99 {}, p99.9 {}, max {} (from the time at which a line was due)",
                    micros(latency.p50),
                    micros(latency.p99),
                    micros(latency.p999),
                    micros(latency.max)
                ),
            ),
            (
                "heartbeats",
                format!(
                    "{:.0} sent, {:.0} missed; {} connections closed by the server",
                    ran.heartbeats_sent, ran.heartbeats_missed, ran.closed_early
                ),
            ),
            (
                "memory",
                format!(
                    "server {} a connection ({} in {} processes), generator {} ({} in {})",
                    growth(memory.server_bytes_per_connection),
                    bytes(memory.server_resident_bytes as u64),
                    ran.server_processes,
                    growth(memory.generator_bytes_per_connection),
                    bytes(memory.generator_resident_bytes as u64),
                    ran.generator_processes
                ),
            ),
            (
                "",
                format!(
                    "kernel {} for both ends ({} of slab), {} in all; {} left",
                    growth(memory.kernel_bytes_per_connection),
                    growth(memory.slab_bytes_per_connection),
                    growth(memory.available_bytes_per_connection),
                    bytes(memory.available_bytes_left as u64)
                ),
            ),
            (
                "CPU",
                format!(
                    "server {:.1} s, generator {:.1} s",
                    ran.server_cpu_seconds, ran.generator_cpu_seconds
                ),
            ),
        ]);
        let doctor = &self.doctor;
        let largest = doctor.largest.map_or("no limit that it knows".to_owned(), |n| n.to_string());
        all.push((
            "doctor",
            format!(
                "predicted {largest}, so {} here: {:+.1} % off; the limit it names is {}",
                doctor.expected,
                doctor.difference_percent,
                doctor.first_wall.unwrap_or("none")
            ),
        ));
        if !self.kernel.is_empty() {
            let grown: Vec<_> =
                self.kernel.iter().map(|(name, by)| format!("{name} +{by}")).collect();
            all.push(("kernel", grown.join(", ")));
        }
        all.extend(self.notes.iter().map(|note| ("note", note.clone())));
        all
    }
}
