//! The figures of a run, and what is demanded of them.

use serde::Serialize;

use crate::implementation::{Run, Subject};

/// One figure of the subject, against a reference where it is a ratio.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) figure: Figure,
    pub(crate) against: Option<Subject>,
    pub(crate) demand: Demand,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Demand {
    AtLeast(f64),
    AtMost(f64),
    /// Reported, not judged.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Figure {
    LinesPerCpuSecond,
    CpuPerLine,
    NsPerLine,
    P99,
    P99OverP50,
    IdleBytes,
    BurstGrowth,
}

impl Demand {
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
            Self::CpuPerLine => "CPU per line",
            Self::NsPerLine => "server CPU, ns a line",
            Self::P99 => "p99 of the polite peers",
            Self::P99OverP50 => "p99 over p50",
            Self::IdleBytes => "resident bytes an idle connection",
            Self::BurstGrowth => "the same, growth after a 16 KiB burst",
        }
    }

    pub(crate) const fn is_latency(self) -> bool {
        matches!(self, Self::P99 | Self::P99OverP50)
    }

    /// The figure of one round; `None` when it was not measured. Without a reference, ratios are
    /// plain values.
    pub(crate) fn of(self, run: &Run, reference: Option<&Run>) -> Option<f64> {
        let per = |own: fn(&Run) -> f64| Some(own(run) / reference.map_or(1.0, own));
        match self {
            Self::LinesPerCpuSecond => per(Run::lines_per_cpu_second),
            Self::CpuPerLine => per(|run| 1.0 / run.lines_per_cpu_second()),
            Self::NsPerLine => per(|run| 1e9 / run.lines_per_cpu_second()),
            Self::P99 => per(|run| run.p99_us),
            Self::P99OverP50 => Some(run.p99_us / run.p50_us),
            Self::IdleBytes => run.idle_bytes,
            Self::BurstGrowth => run.burst_growth_bytes,
        }
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
        let fast = Run { lines: 300, cpu_seconds: 1.0, ..Run::default() };
        let busy = Run { lines: 600, cpu_seconds: 4.0, ..Run::default() };
        assert_eq!(Figure::LinesPerCpuSecond.of(&fast, Some(&busy)), Some(2.0));
        assert_eq!(Figure::CpuPerLine.of(&fast, Some(&busy)), Some(0.5));
        assert_eq!(Figure::IdleBytes.of(&fast, None), None);
    }

    #[test]
    fn a_demand_is_met_at_its_bound() {
        assert_eq!(AtLeast(2.0).is_met(2.0), Some(true));
        assert_eq!(AtMost(2.0).is_met(2.01), Some(false));
        assert_eq!(Nothing.is_met(1.0), None);
    }
}
