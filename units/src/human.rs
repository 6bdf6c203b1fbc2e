//! Figures rounded to about three digits, for reports and progress lines. Nothing reads them back.

/// `1.23M`, `45.6k`, `789`.
pub fn short(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2}G", v / 1e9),
        v if v >= 1e6 => format!("{:.2}M", v / 1e6),
        v if v >= 1e4 => format!("{:.1}k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// Bytes per second as megabits per second: `12.3 Mbps`.
pub fn mbps(bytes_per_second: f64) -> String {
    format!("{:.1} Mbps", bytes_per_second * 8.0 / 1e6)
}

/// Nanoseconds as `830 ns`, `41.5 µs`, `1.23 ms` or `2.05 s`.
pub fn nanos(value: u64) -> String {
    match value as f64 {
        v if v >= 1e9 => format!("{:.2} s", v / 1e9),
        v if v >= 1e6 => format!("{:.2} ms", v / 1e6),
        v if v >= 1e3 => format!("{:.1} µs", v / 1e3),
        v => format!("{v:.0} ns"),
    }
}

/// Microseconds, as [`nanos`] prints them.
pub fn micros(value: u64) -> String {
    nanos(value.saturating_mul(1000))
}

/// `512 B`, `1.5 KiB`, `210.3 MiB`, `2.00 GiB`.
pub fn bytes(value: u64) -> String {
    match value as f64 {
        v if v >= 1024f64.powi(3) => format!("{:.2} GiB", v / 1024f64.powi(3)),
        v if v >= 1024f64.powi(2) => format!("{:.1} MiB", v / 1024f64.powi(2)),
        v if v >= 1024.0 => format!("{:.1} KiB", v / 1024.0),
        v => format!("{v:.0} B"),
    }
}

/// All digits, in groups of three: `1,234,567`.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_three_digits_or_so() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(7), "7");
        assert_eq!(nanos(1_230_000), "1.23 ms");
        assert_eq!(micros(41), "41.0 µs");
        assert_eq!(short(45_600.0), "45.6k");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(mbps(125_000.0), "1.0 Mbps");
    }
}
