//! What is measured and what is demanded: the table's rows as data.

use serde::Serialize;

use crate::{
    generator::Load,
    subject::{Cores, Run, Subject},
};

/// A load, who takes turns under it, and the figures read from it.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    /// Flags towline gets besides the common ones.
    pub(crate) flags: &'static [&'static str],
    pub(crate) cores: Cores,
    pub(crate) references: &'static [Subject],
    /// References that only `--all` adds: they inform, nothing is demanded of them.
    pub(crate) more: &'static [Subject],
    pub(crate) rows: &'static [Row],
}

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

const fn row(figure: Figure, against: Option<Subject>, demand: Demand) -> Row {
    Row { figure, against, demand }
}

const fn throughput(against: Subject, demand: Demand) -> Row {
    row(Figure::LinesPerCpuSecond, Some(against), demand)
}

use Demand::{AtLeast, AtMost, Nothing};
use Subject::{
    BareTokio, CLines, CRaw, RawTokio, Sha2, TailTokio, Threads, Unobserved, Unsupervised,
};

const INFORMING: [Row; 4] = [
    throughput(CRaw, Nothing),
    throughput(TailTokio, Nothing),
    throughput(RawTokio, Nothing),
    throughput(CLines, Nothing),
];

static SUPERVISION: [Row; 1] = [throughput(Unsupervised, AtLeast(0.97))];
static METRICS: [Row; 1] = [throughput(Unobserved, AtLeast(0.99))];
static SPREAD: [Row; 1] = [row(Figure::CpuPerLine, Some(Threads), AtMost(1.03))];

const REFERENCES: &[Subject] = &[BareTokio, CRaw];
const MORE: &[Subject] = &[TailTokio, RawTokio, CLines];

/// Every limit and deadline that is off unless asked for.
const SUPERVISED: &[&str] =
    &["--idle-timeout=60s", "--max-connections-per-ip=20000", "--max-accept-rate=100000"];

/// A thread in each of two processes, as a thread for each of two cores in one.
const PROCESSES: &[&str] = &["--processes=2"];

/// The same build with something on and off: the most it may cost is demanded.
const fn on_and_off(
    name: &'static str,
    mode: &'static str,
    flags: &'static [&'static str],
    off: &'static [Subject],
    rows: &'static [Row],
) -> Scenario {
    let (load, cores) = (Load::new(mode, 100), Cores::One);
    Scenario { name, load, flags, cores, references: off, more: &[], rows }
}

/// Two processes against two threads, on two cores: the load has one of them to itself where it can.
const fn processes(name: &'static str, mode: &'static str) -> Scenario {
    let scenario = on_and_off(name, mode, PROCESSES, &[Threads], &SPREAD);
    Scenario { cores: Cores::All, ..scenario }
}

pub(crate) static SCENARIOS: [Scenario; 15] = [
    Scenario {
        name: "flood-100",
        load: Load::new("flood", 100),
        flags: &[],
        cores: Cores::One,
        references: REFERENCES,
        more: MORE,
        rows: &[
            throughput(BareTokio, AtLeast(2.0)),
            INFORMING[0],
            INFORMING[1],
            INFORMING[2],
            INFORMING[3],
        ],
    },
    Scenario {
        name: "flood-5000",
        load: Load::new("flood", 5_000),
        flags: &[],
        cores: Cores::One,
        references: REFERENCES,
        more: MORE,
        rows: &[
            throughput(BareTokio, AtLeast(1.6)),
            INFORMING[0],
            INFORMING[1],
            INFORMING[2],
            INFORMING[3],
        ],
    },
    Scenario {
        name: "pingpong-100",
        load: Load::new("pingpong", 100),
        flags: &[],
        cores: Cores::One,
        references: REFERENCES,
        more: MORE,
        rows: &[
            throughput(BareTokio, AtLeast(0.93)),
            INFORMING[0],
            INFORMING[1],
            INFORMING[2],
            INFORMING[3],
        ],
    },
    Scenario {
        name: "pingpong-1000",
        load: Load::new("pingpong", 1_000),
        flags: &[],
        cores: Cores::One,
        references: REFERENCES,
        more: MORE,
        rows: &[
            throughput(BareTokio, Nothing),
            INFORMING[0],
            row(Figure::P99OverP50, None, AtMost(2.0)),
        ],
    },
    Scenario {
        name: "pingpong-10000",
        load: Load::new("pingpong", 10_000),
        flags: &[],
        cores: Cores::One,
        references: REFERENCES,
        more: MORE,
        rows: &[
            throughput(BareTokio, AtLeast(0.93)),
            INFORMING[0],
            row(Figure::P99OverP50, None, AtMost(2.0)),
        ],
    },
    Scenario {
        name: "sha256-discard",
        load: Load::new("flood", 100),
        flags: &["--workload", "sha256", "--digest", "discard"],
        cores: Cores::One,
        references: &[Sha2],
        more: &[],
        rows: &[
            row(Figure::CpuPerLine, Some(Sha2), AtMost(1.3)),
            row(Figure::NsPerLine, None, Nothing),
        ],
    },
    Scenario {
        name: "lines-framing",
        load: Load::new("flood", 100),
        flags: &["--framing", "lines"],
        cores: Cores::One,
        references: &[],
        more: &[],
        rows: &[row(Figure::NsPerLine, None, AtMost(60.0))],
    },
    Scenario {
        name: "noise",
        load: Load::new("noise", 8).beside_pipes(4),
        flags: &[],
        cores: Cores::One,
        references: &[CRaw, RawTokio],
        more: &[BareTokio],
        rows: &[
            row(Figure::P99, Some(CRaw), AtMost(2.0)),
            row(Figure::P99, Some(RawTokio), AtMost(2.0)),
        ],
    },
    Scenario {
        name: "idle-10000",
        load: Load::new("idle", 10_000),
        flags: &[],
        cores: Cores::One,
        references: &[BareTokio],
        more: &[CRaw],
        // What an allocator keeps for itself after a burst is spread over the connections too: a few
        // bytes each are no growth a connection.
        rows: &[
            row(Figure::IdleBytes, None, AtMost(1024.0)),
            row(Figure::BurstGrowth, None, AtMost(64.0)),
        ],
    },
    on_and_off("supervision-flood", "flood", SUPERVISED, &[Unsupervised], &SUPERVISION),
    on_and_off("supervision-pingpong", "pingpong", SUPERVISED, &[Unsupervised], &SUPERVISION),
    on_and_off("metrics-flood", "flood", &[], &[Unobserved], &METRICS),
    on_and_off("metrics-pingpong", "pingpong", &[], &[Unobserved], &METRICS),
    processes("processes-flood", "flood"),
    processes("processes-pingpong", "pingpong"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_refers_to_somebody_who_takes_a_turn() {
        for scenario in &SCENARIOS {
            for against in scenario.rows.iter().filter_map(|row| row.against) {
                let turns = scenario.references.iter().chain(scenario.more);
                assert!(turns.copied().any(|s| s == against), "{}: {against:?}", scenario.name);
            }
        }
    }

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
