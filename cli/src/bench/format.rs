//! Figures as text, for tables that people read.

const MIB: f64 = 1024.0 * 1024.0;

/// Three significant digits: `1.23`, `12.3`, `123`, `1234`.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A number without a unit: `1.23M`, `46K`, `789`.
pub(super) fn short(value: f64) -> String {
    match value {
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.0}K", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// `12,345`
pub(super) fn grouped(value: u64) -> String {
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

/// `123 B`, `1.23 KiB`, `1.23 MiB`, `1.23 GiB`
pub(super) fn bytes(value: f64) -> String {
    match value.abs() {
        v if v < 1024.0 => format!("{value:.0} B"),
        v if v < MIB => format!("{} KiB", significant(value / 1024.0)),
        v if v < 1024.0 * MIB => format!("{} MiB", significant(value / MIB)),
        _ => format!("{} GiB", significant(value / MIB / 1024.0)),
    }
}

/// Memory added by one connection. Memory that did not grow is said so: the processes gave back more
/// than the connections took, and a clipped zero would claim that they took none.
pub(super) fn growth(bytes_per_connection: f64) -> String {
    if bytes_per_connection < 0.5 { "no growth".to_owned() } else { bytes(bytes_per_connection) }
}

/// `123 µs`, `1.2 ms`, `1.23 s`
pub(super) fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_grouped() {
        assert_eq!(grouped(30_000), "30,000");
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!([329e3, 29.0, 1.2e6].map(short), ["329K", "29", "1.20M"]);
        assert_eq!([0.046, 9.999, 99.96, 1043.2].map(significant), ["0.05", "10.0", "100", "1043"]);
        assert_eq!([800.0, 1.5 * MIB, 8.3e9].map(bytes), ["800 B", "1.50 MiB", "7.73 GiB"]);
        assert_eq!([5, 1500, 2_000_000].map(micros), ["5 µs", "1.5 ms", "2.00 s"]);
    }

    #[test]
    fn memory_that_did_not_grow_is_no_zero() {
        assert_eq!([-3.0, 0.2, 812.0].map(growth), ["no growth", "no growth", "812 B"]);
    }
}
