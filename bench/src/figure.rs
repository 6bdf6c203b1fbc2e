//! The figures of a measurement, and the bounds demanded of them.

use serde::Serialize;

use crate::{
    implementation::{Implementation, Measurement},
    stats::Spread,
};

/// A figure of the subject; a ratio where there is a reference.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) figure: Figure,
    pub(crate) against: Option<Implementation>,
    pub(crate) demand: Demand,
}

/// The bound of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Demand {
    AtLeast(f64),
    AtMost(f64),
    /// No bound: the figure is only reported.
    Nothing,
}

/// What is read from a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    LinesPerCpuSecond,
    /// The same of a scenario in which a line is a connection of its own.
    HandshakesPerCpuSecond,
    CpuPerLine,
    NsPerLine,
    LinesPerSecond,
    /// CPU time per line of the slowest round, relative to the median round.
    SlowestRound,
    P99,
    P99OverP50,
    IdleBytes,
    BurstGrowth,
    BytesAfterBurst,
}

impl Demand {
    /// Whether `value` is within the bound; `None` without one.
    pub(crate) fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(least) => Some(value >= least),
            Self::AtMost(most) => Some(value <= most),
            Self::Nothing => None,
        }
    }
}

impl std::fmt::Display for Demand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(value) => write!(f, "≥ {value}"),
            Self::AtMost(value) => write!(f, "≤ {value}"),
            Self::Nothing => f.write_str("–"),
        }
    }
}

impl Figure {
    pub(crate) const fn describe(self) -> &'static str {
        match self {
            Self::LinesPerCpuSecond => "lines per server-CPU-second",
            Self::HandshakesPerCpuSecond => "handshakes per server-CPU-second",
            Self::CpuPerLine => "CPU per line",
            Self::NsPerLine => "server CPU, ns per line",
            Self::LinesPerSecond => "lines per second",
            Self::SlowestRound => "CPU per line, slowest round over median",
            Self::P99 => "p99 of the well-behaved clients",
            Self::P99OverP50 => "p99 over p50",
            Self::IdleBytes => "resident bytes per idle connection",
            Self::BurstGrowth => "the same, growth after a 16 KiB burst",
            Self::BytesAfterBurst => "resident bytes per connection that was busy once",
        }
    }

    /// The same of any clients, where two runs are compared.
    pub(crate) const fn describe_alone(self) -> &'static str {
        match self {
            Self::P99 => "p99",
            other => other.describe(),
        }
    }

    pub(crate) const fn is_latency(self) -> bool {
        matches!(self, Self::P99 | Self::P99OverP50)
    }

    /// The figure of one round; `None` when it was not measured. Without a reference, a ratio is the
    /// plain value.
    pub(crate) fn of(self, run: &Measurement, reference: Option<&Measurement>) -> Option<f64> {
        let per = |own: fn(&Measurement) -> f64| Some(own(run) / reference.map_or(1.0, own));
        match self {
            Self::LinesPerCpuSecond | Self::HandshakesPerCpuSecond => {
                per(Measurement::lines_per_cpu_second)
            }
            Self::CpuPerLine => per(|run| 1.0 / run.lines_per_cpu_second()),
            Self::NsPerLine | Self::SlowestRound => per(|run| 1e9 / run.lines_per_cpu_second()),
            Self::LinesPerSecond => per(Measurement::lines_per_second),
            Self::P99 => per(|run| run.p99_us),
            Self::P99OverP50 => Some(run.p99_us / run.p50_us),
            Self::IdleBytes => run.idle_bytes,
            Self::BurstGrowth => run.burst_growth_bytes,
            Self::BytesAfterBurst => Some(run.idle_bytes? + run.burst_growth_bytes?),
        }
    }

    /// What is compared with the bound, of the rounds of a row; with their spread.
    pub(crate) fn judge(self, rounds: &[f64]) -> Option<(f64, Spread)> {
        let spread = Spread::of(rounds)?;
        if self != Self::SlowestRound {
            return Some((spread.median, spread));
        }
        let relative: Vec<_> = rounds.iter().map(|round| round / spread.median).collect();
        let spread = Spread::of(&relative)?;
        Some((spread.max, spread))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        Demand::{AtLeast, AtMost, Nothing},
        *,
    };

    #[test]
    fn a_ratio_is_of_work_per_cpu_time_not_of_work() {
        let fast = Measurement { lines: 300, cpu_seconds: 1.0, ..Measurement::default() };
        let busy = Measurement { lines: 600, cpu_seconds: 4.0, ..Measurement::default() };
        assert_eq!(Figure::LinesPerCpuSecond.of(&fast, Some(&busy)), Some(2.0));
        assert_eq!(Figure::CpuPerLine.of(&fast, Some(&busy)), Some(0.5));
        assert_eq!(Figure::IdleBytes.of(&fast, None), None);
    }

    #[test]
    fn the_slowest_round_is_judged_and_of_all_else_the_median() {
        let rounds = [4.0, 2.0, 1.9, 2.2, 2.0];
        assert_eq!(Figure::SlowestRound.judge(&rounds).unwrap().0, 2.0);
        assert_eq!(Figure::NsPerLine.judge(&rounds).unwrap().0, 2.0);
        assert_eq!(Figure::SlowestRound.judge(&rounds[1..]).unwrap().0, 1.1);
        assert_eq!(Figure::NsPerLine.judge(&[]), None);
    }

    #[test]
    fn a_demand_is_met_at_its_bound() {
        assert_eq!(AtLeast(2.0).is_met(2.0), Some(true));
        assert_eq!(AtMost(2.0).is_met(2.01), Some(false));
        assert_eq!(Nothing.is_met(1.0), None);
    }
}
