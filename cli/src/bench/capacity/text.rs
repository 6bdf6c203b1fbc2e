//! The result for a terminal.

use std::fmt;

use super::result::{Capacity, Verdict};

const MIB: f64 = 1024.0 * 1024.0;

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ran, memory) = (&self.ran, &self.ran.memory);
        let verdict = match self.verdict {
            Verdict::Passed => "passed",
            Verdict::Failed => "FAILED",
            Verdict::NotReached => "NOT REACHED",
        };
        writeln!(
            f,
            "{} of {} connections held for {:.0} s: {verdict}",
            self.held, self.requested, ran.held_seconds
        )?;
        for sentence in &self.against {
            writeln!(f, "  {sentence}")?;
        }
        if let Some(wall) = &self.first_wall {
            writeln!(f, "  first wall: {} ({})", wall.name, wall.evidence)?;
        }
        let ramp = &ran.ramp;
        writeln!(
            f,
            "ramp        {:.1} s, {:.0} a second; connect p99 {}",
            ramp.seconds,
            ramp.per_second,
            time(ramp.connect_p99_us)
        )?;
        let points: Vec<_> =
            ramp.curve.iter().map(|p| format!("{:.0} s {}", p.seconds, p.connections)).collect();
        for part in points.chunks(5) {
            writeln!(f, "            {}", part.join(" · "))?;
        }
        writeln!(
            f,
            "lines       {} sent, {} answered and compared, {} lost, {} wrong",
            ran.lines_sent, ran.lines_checked, ran.lines_lost, ran.lines_wrong
        )?;
        let l = &ran.latency_us;
        writeln!(
            f,
            "latency     p50 {}, p99 {}, p99.9 {}, max {} (from when a line was due)",
            time(l.p50),
            time(l.p99),
            time(l.p999),
            time(l.max)
        )?;
        writeln!(
            f,
            "heartbeats  {:.0} sent, {:.0} missed; {} connections ended by the server",
            ran.heartbeats_sent, ran.heartbeats_missed, ran.closed_early
        )?;
        writeln!(
            f,
            "memory      server {:.0} B a connection ({:.0} MiB in {} processes), generator {:.0} B \
             ({:.0} MiB in {})",
            memory.server_bytes_per_connection,
            memory.server_resident_bytes / MIB,
            ran.server_processes,
            memory.generator_bytes_per_connection,
            memory.generator_resident_bytes / MIB,
            ran.generator_processes
        )?;
        writeln!(
            f,
            "            kernel {:.0} B for both ends ({:.0} B of slab), {:.0} B in all; {:.0} MiB left",
            memory.kernel_bytes_per_connection,
            memory.slab_bytes_per_connection,
            memory.available_bytes_per_connection,
            memory.available_bytes_left / MIB
        )?;
        writeln!(
            f,
            "CPU         server {:.1} s, generator {:.1} s",
            ran.server_cpu_seconds, ran.generator_cpu_seconds
        )?;
        let doctor = &self.doctor;
        let largest = doctor.largest.map_or("nothing".to_owned(), |n| n.to_string());
        writeln!(
            f,
            "doctor      predicted {largest}, so {} here: {:+.1} % off; the wall it names is {}",
            doctor.expected,
            doctor.difference_percent,
            doctor.first_wall.unwrap_or("none")
        )?;
        if !self.kernel.is_empty() {
            let moved: Vec<_> =
                self.kernel.iter().map(|(name, by)| format!("{name} +{by}")).collect();
            writeln!(f, "kernel      {}", moved.join(", "))?;
        }
        for note in &self.notes {
            writeln!(f, "note        {note}")?;
        }
        Ok(())
    }
}

fn time(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}
