//! The scenarios: a load, the implementations that take turns under it, and the figures demanded.

use crate::{
    figure::{Demand, Figure, Row},
    generator::Load,
    implementation::Implementation,
    launcher::Cores,
};

/// A load, the implementations that take turns under it, and the figures read from them.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) load: Load,
    /// Flags of towline beside the common ones.
    pub(crate) flags: &'static [&'static str],
    pub(crate) cores: Cores,
    pub(crate) references: &'static [Implementation],
    /// References that only `--all` adds: their figures inform and have no bound.
    pub(crate) more: &'static [Implementation],
    pub(crate) rows: &'static [Row],
}

const fn row(figure: Figure, against: Option<Implementation>, demand: Demand) -> Row {
    Row { figure, against, demand }
}

const fn throughput(against: Implementation, demand: Demand) -> Row {
    row(Figure::LinesPerCpuSecond, Some(against), demand)
}

use Demand::{AtLeast, AtMost, Nothing};
use Implementation::{
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

const REFERENCES: &[Implementation] = &[BareTokio, CRaw];
const MORE: &[Implementation] = &[TailTokio, RawTokio, CLines];

/// Turns on every limit and deadline that is off by default.
const SUPERVISED: &[&str] =
    &["--idle-timeout=60s", "--max-connections-per-ip=20000", "--max-accept-rate=100000"];

/// One thread in each of two processes, to compare with two threads in one process.
const PROCESSES: &[&str] = &["--processes=2"];

/// A scenario that compares the same build with a feature on and off, and bounds the feature's cost.
const fn on_and_off(
    name: &'static str,
    mode: &'static str,
    flags: &'static [&'static str],
    off: &'static [Implementation],
    rows: &'static [Row],
) -> Scenario {
    let (load, cores) = (Load::new(mode, 100), Cores::One);
    Scenario { name, load, flags, cores, references: off, more: &[], rows }
}

/// A scenario that compares two processes with two threads on two cores; the load runs on one of them.
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
        // What the allocator retains after a burst is divided by the connections too: a few bytes
        // each are no growth of a connection.
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
    fn every_row_refers_to_an_implementation_that_takes_a_turn() {
        for scenario in &SCENARIOS {
            for against in scenario.rows.iter().filter_map(|row| row.against) {
                let turns = scenario.references.iter().chain(scenario.more);
                assert!(turns.copied().any(|s| s == against), "{}: {against:?}", scenario.name);
            }
        }
    }
}
