//! Figures as text where `towline_units::human` has no form for them.

use towline_units::human::bytes;

/// Three significant digits: `1.23`, `12.3`, `123`, `1234`.
pub(super) fn significant(value: f64) -> String {
    match value.abs() {
        v if v >= 99.95 => format!("{value:.0}"),
        v if v >= 9.995 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Memory added by one connection. Memory that did not grow is said so: a clipped zero would claim that
/// connections take none, while the processes gave back more than the connections took.
pub(super) fn growth(bytes_per_connection: f64) -> String {
    if bytes_per_connection < 0.5 {
        "no growth".to_owned()
    } else {
        bytes(bytes_per_connection.round() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!([0.046, 9.999, 99.96, 1043.2].map(significant), ["0.05", "10.0", "100", "1043"]);
    }

    #[test]
    fn memory_that_did_not_grow_is_no_zero() {
        assert_eq!([-3.0, 0.2, 812.0].map(growth), ["no growth", "no growth", "812 B"]);
    }
}
